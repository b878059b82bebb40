"""What is read of a request's headers, whatever clients put there."""

from hypothesis import given
from hypothesis import strategies as st

from tristar.edge.request import Incoming

NAMES = st.sampled_from(
    [
        b"authorization", b"x-api-key", b"traceparent", b"content-length", b"x-request-timeout",
        b"x-session-id", b"x-user-id", b"accept", b"origin", b"forwarded",
        b"x-forwarded-for", b"openai-beta", b"cookie",
    ]
)  # fmt: skip
HEADERS = st.lists(st.tuples(NAMES, st.binary(max_size=80)), max_size=12)
KEYS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=64)


@given(HEADERS)
def test_any_headers_can_be_read(headers: list[tuple[bytes, bytes]]) -> None:
    """Nothing raises, and what has a bound keeps it."""
    incoming = Incoming.of(headers)

    assert len(incoming.session_id or "") <= 128
    assert incoming.timeout_s is None or 0 < incoming.timeout_s < float("inf")
    assert incoming.content_length is None or incoming.content_length < 10**20


@given(KEYS, st.sampled_from(["Bearer", "bearer", "BEARER"]), st.text(" ", max_size=3))
def test_a_key_comes_through_as_it_is(key: str, scheme: str, space: str) -> None:
    """Whatever the case of the scheme and the spaces around it."""
    assert Incoming.of([(b"authorization", f"{scheme} {space}{key}{space}".encode())]).key == key


@given(KEYS)
def test_what_prints_a_request_does_not_print_its_key(key: str) -> None:
    """Neither `repr` nor `str`."""
    incoming = Incoming.of([(b"authorization", f"Bearer canary{key}".encode())])

    assert "canary" not in repr(incoming) + str(incoming)


def test_no_other_scheme_is_taken_for_a_key() -> None:
    """Basic credentials are nobody's business here."""
    assert Incoming.of([(b"authorization", b"Basic dXNlcjpwYXNz")]).key is None
