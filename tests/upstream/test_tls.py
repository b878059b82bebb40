"""The upstream's own certificate authority: right certificates pass, wrong ones are refused."""

import ssl
from pathlib import Path

import openai
import pytest
from tests.upstream import Answer, Authority, Upstream


def ask(upstream: Upstream, authority: Authority) -> str | None:
    """One chat over TLS, trusting this authority alone."""
    http = openai.DefaultHttpxClient(verify=ssl.create_default_context(cafile=authority.ca_file))
    with openai.OpenAI(base_url=upstream.base_url, api_key="k", max_retries=0, http_client=http) as client:
        got = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
    return got.choices[0].message.content


def test_a_good_certificate_is_accepted(tmp_path: Path) -> None:
    """For 127.0.0.1, signed by the authority."""
    authority = Authority(tmp_path)
    with Upstream(tls=authority.server()) as upstream:
        text = ask(upstream, authority)

    assert text == Answer().text


@pytest.mark.parametrize("wrong", ["host", "expired", "stranger"])
def test_a_bad_certificate_is_refused_before_the_request(tmp_path: Path, wrong: str) -> None:
    """Another host's, yesterday's, or one of an authority that is not trusted."""
    (tmp_path / "other").mkdir()
    authority, stranger = Authority(tmp_path), Authority(tmp_path / "other")
    contexts = {
        "host": authority.server("elsewhere.test"),
        "expired": authority.server(expired=True),
        "stranger": stranger.server(),
    }
    with Upstream(tls=contexts[wrong]) as upstream:
        with pytest.raises(openai.APIConnectionError):
            ask(upstream, authority)

        assert upstream.journal.calls == []
