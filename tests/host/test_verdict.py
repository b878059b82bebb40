"""The result of the last verification, kept."""

from pathlib import Path

from tristar.host.verdict import FILE, Verdict


def test_the_last_result_is_read_at_the_next_start(tmp_path: Path) -> None:
    """None before the first one."""
    seen = [Verdict(tmp_path).ok]
    for ok in (False, True):
        Verdict(tmp_path).note(ok=ok)
        seen.append(Verdict(tmp_path).ok)

    assert seen == [None, False, True]


def test_a_result_that_cannot_be_written_holds_until_the_end(tmp_path: Path) -> None:
    """A full disk or a missing directory keeps nobody from knowing now."""
    verdict = Verdict(tmp_path / "missing")
    verdict.note(ok=False)

    assert verdict.ok is False
    assert Verdict(tmp_path / "missing").ok is None


def test_a_file_of_other_content_tells_nothing(tmp_path: Path) -> None:
    """Rather no series than an invented one."""
    (tmp_path / FILE).write_bytes(b"o")

    assert Verdict(tmp_path).ok is None
