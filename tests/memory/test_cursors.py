"""Cursors: opaque, and good for one query alone."""

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tristar.errors import BadRequest
from tristar.memory import cursors
from tristar.memory.entry import Caller, Query

ME = Caller("key_1", "0" * 32)


@given(st.integers(min_value=0, max_value=2**63 - 1))
def test_a_cursor_leads_back_to_its_position(position: int) -> None:
    """Whatever the position."""
    query = Query(words="x", tags=("a", "b"))
    cursor = cursors.write(query, ME, position)

    assert cursors.read(replace(query, cursor=cursor), ME) == position


@given(st.text())
@example("====")
@example("WzEsIiJd")
@example("\ud800")
@example("é")
def test_any_other_text_is_refused(cursor: str) -> None:
    """With a message for the client, not a traceback."""
    with pytest.raises(BadRequest) as refused:
        cursors.read(Query(cursor=cursor), ME)

    assert refused.value.param == "cursor"


@pytest.mark.parametrize(
    "other",
    [
        Query(words="y"),
        Query(words="x", type="fact"),
        Query(words="x", tags=("a",)),
        Query(words="x", project="p"),
    ],
)
def test_a_cursor_of_another_query_is_refused(other: Query) -> None:
    """It would skip or repeat entries without a word."""
    cursor = cursors.write(Query(words="x"), ME, 20)
    with pytest.raises(BadRequest):
        cursors.read(replace(other, cursor=cursor), ME)


def test_a_cursor_of_another_tenant_is_refused() -> None:
    """A key that sees other projects begins anew."""
    cursor = cursors.write(Query(), ME, 20)
    with pytest.raises(BadRequest):
        cursors.read(Query(cursor=cursor), replace(ME, projects=frozenset({"a"})))
