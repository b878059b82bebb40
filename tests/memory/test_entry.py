"""What may be put into the memory."""

import math

import pytest

from tristar.errors import BadRequest
from tristar.memory.entry import CONTENT_BYTES, TAGS, Change, Draft, check_change, check_draft, content_hash


@pytest.mark.parametrize(
    ("draft", "param"),
    [
        (Draft(""), "content"),
        (Draft(" \n\t"), "content"),
        (Draft("null \0 byte"), "content"),
        (Draft("half a pair \ud800"), "content"),
        (Draft("x" * (CONTENT_BYTES + 1)), "content"),
        (Draft("é" * (CONTENT_BYTES // 2 + 1)), "content"),
        (Draft("x", project=""), "project"),
        (Draft("x", project="a\nb"), "project"),
        (Draft("x", project="x" * 129), "project"),
        (Draft("x", llm_id=" gpt"), "llm_id"),
        (Draft("x", llm_id="\ud800"), "llm_id"),
        (Draft("x", type="rumour"), "type"),  # type: ignore[arg-type]  # what a caller without types can send
        (Draft("x", tags=("a,b",)), "tags"),
        (Draft("x", tags=("\0",)), "tags"),
        (Draft("x", tags=tuple(str(n) for n in range(TAGS + 1))), "tags"),
        (Draft("x", importance=1.01), "importance"),
        (Draft("x", confidence=math.nan), "confidence"),
        (Draft("x", ttl_s=0), "ttl_s"),
        (Draft("x", ttl_s=math.inf), "ttl_s"),
        (Draft("x", ttl_s=1e12), "ttl_s"),
    ],
)
def test_what_an_engine_would_refuse_or_change_is_refused_with_the_field(draft: Draft, param: str) -> None:
    """The same answer on every engine, before it is asked."""
    with pytest.raises(BadRequest) as refused:
        check_draft(draft)

    assert refused.value.param == param
    assert len(refused.value.message) < 200


def test_right_to_left_marks_emoji_and_markup_are_content() -> None:
    """Strange is not wrong."""
    draft = Draft("\u202eمرحب <script> '; DROP TABLE x -- 👩‍🚀\r\n\x1b[31m", tags=("naïve 日本",))
    check_draft(draft)

    assert content_hash("abc").endswith("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")


@pytest.mark.parametrize(
    ("change", "param"),
    [
        (Change(), None),
        (Change(content="\0"), "content"),
        (Change(ttl_s=1, keep=True), "ttl_s"),
        (Change(confidence=-0.1), "confidence"),
    ],
)
def test_a_change_is_checked_like_a_draft(change: Change, param: str | None) -> None:
    """And must change something."""
    with pytest.raises(BadRequest) as refused:
        check_change(change)

    assert refused.value.param == param
