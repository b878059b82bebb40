"""Questions to the log, answered exactly."""

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from tests.audit.specimens import line, lines, scribe, write_log

from tristar.audit.query import query
from tristar.audit.question import Question
from tristar.audit.tail import tail
from tristar.clock import ManualClock


def seqs(records: list[dict[str, Any]]) -> list[int]:
    """The sequence numbers of an answer."""
    return [record["seq"] for record in records]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Thirty records in three segments, one per second; every tenth is anna's and a WARNING."""
    content = lines(30)
    write_log(tmp_path, content[:10], content[10:20], content[20:])
    return tmp_path


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        (Question(user_id="anna"), [20, 10, 0]),
        (Question(level="warning"), [20, 10, 0]),
        (Question(action="order_placed", limit=2), [20, 10]),
        (Question(action="order_placed", limit=2, newest_first=False), [0, 10]),
        (Question(trace_id="trace-17"), [17]),
        (Question(resource="/orders/5"), [5]),
        (Question(resource="/orders"), []),
        (Question(user_id="bert", limit=3), [29, 28, 27]),
        (Question(user_id="anna", action="order_seen"), []),
        (Question(text="/ORDERS/17"), [17]),
        (Question(text="order_placed", limit=2), [20, 10]),
        (Question(text="trace-1", action="order_placed"), [10]),
        (Question(text="100%_"), []),
        (Question(limit=12), list(range(29, 17, -1))),
        (Question(limit=12, newest_first=False), list(range(12))),
    ],
)
def test_answer_holds_what_matches_in_the_order_asked(
    log: Path, question: Question, expected: list[int]
) -> None:
    """Every filter given must hold, exactly; the newest first unless asked otherwise."""
    assert seqs(query(log, question)) == expected


def test_times_are_inclusive_and_understood_in_every_form(log: Path) -> None:
    """Aware, in another offset, as text, and naive as local time."""
    start = dt.datetime.fromtimestamp(ManualClock().time(), dt.UTC)
    since, until = start + dt.timedelta(seconds=3), start + dt.timedelta(seconds=6)
    india = dt.timezone(dt.timedelta(hours=5, minutes=30))
    local = since.astimezone().replace(tzinfo=None)

    for moment in (since, since.astimezone(india), since.isoformat(), local, local.isoformat()):
        assert seqs(query(log, Question(since=moment, until=until, newest_first=False))) == [3, 4, 5, 6]


def test_values_are_compared_as_text_not_as_json(tmp_path: Path) -> None:
    """Quotes, backslashes and emoji in a filter find their record."""
    odd = 'a"b\\c 😀\n'
    content = [line(scribe().event("x", "/", user_id=odd), 0), line(scribe().event("x", "/", user_id="b"), 1)]
    write_log(tmp_path, content)

    assert seqs(query(tmp_path, Question(user_id=odd))) == [0]


def test_value_that_stands_elsewhere_in_the_record_is_no_match(tmp_path: Path) -> None:
    """A trace id quoted in someone's details is not that record's trace id."""
    content = [
        line(scribe().event("x", "/", trace_id="t1"), 0),
        line(scribe().event("x", "/", details={"trace_id": "t1"}), 1),
    ]
    write_log(tmp_path, content)

    assert seqs(query(tmp_path, Question(trace_id="t1"))) == [0]


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (Question(limit=0), "limit is 0"),
        (Question(limit=100_001), "export"),
        (Question(level="LOUD"), "unknown audit level"),
        (Question(since="yesterday"), "not a point in time"),
    ],
)
def test_bad_question_is_a_clear_error(log: Path, question: Question, message: str) -> None:
    """The message names what is wrong and what would do."""
    with pytest.raises(ValueError, match=message):
        query(log, question)


def test_tail_gives_the_newest_and_then_what_came_after(log: Path) -> None:
    """To follow the log, ask again with the last record's number."""
    newest = tail(log, 3)

    assert seqs(newest) == [27, 28, 29]
    assert seqs(tail(log, 10, after_seq=27)) == [28, 29]
    assert tail(log, 10, after_seq=29) == []
    with pytest.raises(ValueError, match="count is 0"):
        tail(log, 0)


def test_no_log_has_no_records(tmp_path: Path) -> None:
    """And asking makes none."""
    assert query(tmp_path / "none", Question()) == []
    assert tail(tmp_path / "none") == []
    assert list(tmp_path.iterdir()) == []
