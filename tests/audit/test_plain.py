"""Plain values: what may be taken at once comes out as what is taken one by one."""

from enum import StrEnum

from hypothesis import example, given
from hypothesis import strategies as st

from tristar.audit import redact
from tristar.audit.plain import CUT_KEY, mapping

ENTRY = "mem_4111111111111111" + "0" * 16
"""An id whose first digits would be a card's, were it not an id."""
HASH = "sha256:" + "4111111111111111" * 4
KEY = "sk-CANARY1234567890"


class Name(StrEnum):
    """A text, but not plainly one."""

    ENTRY = ENTRY


OURS = st.sampled_from([ENTRY, HASH]) | st.from_regex(r"mem_[0-9a-f]{32}|sha256:[0-9a-f]{64}", fullmatch=True)
OTHERS = st.sampled_from(
    [KEY, "api_key", f"{ENTRY}\n{HASH}", f"{ENTRY}\n", "", Name.ENTRY, 4111111111111111, None]
)


@given(values=st.lists(OURS, max_size=50) | st.lists(OURS | OTHERS, max_size=8), budget=st.integers(0, 4000))
@example(values=[ENTRY, HASH, KEY], budget=4000)
@example(values=[f"{ENTRY}\n{HASH}"], budget=4000)
@example(values=[HASH] * 3, budget=256)
def test_list_of_ids_comes_out_as_each_alone(values: list[object], budget: int) -> None:
    """A tuple is gone through value by value: the same values, the same cuts, types and all."""
    at_once = mapping({"ids": values, "after": "words"}, budget)
    each = mapping({"ids": tuple(values), "after": "words"}, budget)

    assert repr(at_once) == repr(each)


def test_ids_are_cut_where_the_room_ends() -> None:
    """They are no exception from the bound of a record."""
    whole = mapping({"ids": [ENTRY] * 50}, 4000)
    cut = mapping({"ids": [ENTRY] * 50}, 1000)

    assert whole == {"ids": [ENTRY] * 50}
    assert cut[CUT_KEY] is True
    assert 20 < len(cut["ids"]) < 30  # type: ignore[arg-type]  # a list, as above


def test_ours_are_told_from_everything_else() -> None:
    """One value of another kind, and none is taken unread."""
    assert redact.all_ours([ENTRY, HASH])
    for other in (
        KEY,
        f"{ENTRY}\n{HASH}",
        f"{ENTRY}\n",
        ENTRY[:-1],
        HASH + "0",
        ENTRY.upper(),
        Name.ENTRY,
        1,
        None,
    ):
        assert not redact.all_ours([ENTRY, other, HASH])
        assert not redact.all_ours([other])
    assert not redact.all_ours([])
