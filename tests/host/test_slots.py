"""What a killed process had begun can be read from its table."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tristar.errors import Unavailable
from tristar.exchange import Exchange
from tristar.host.slots import BLOCK, CELL_BYTES, SlotReader, SlotTable


def begun(path: str, *, audited: bool = True) -> Exchange:
    """A request that has just arrived."""
    return Exchange(
        method="POST",
        resource=path,
        endpoint="/v1/chat",
        started=1,
        started_at=2,
        audited=audited,
        ip_address="::1",
    )


def test_open_and_closing_requests_are_unrecorded_and_cleared_ones_are_not(tmp_path: Path) -> None:
    """Until its record is durable a request stays in the table."""
    table = SlotTable(tmp_path / "a.slots", slots=8)
    first, second, third, health = (
        begun("/v1/a"), begun("/v1/b"), begun("/v1/c"), begun("/health", audited=False)
    )  # fmt: skip
    slots = [table.take(exchange) for exchange in (first, second, third, health)]
    table.retire(slots[1])
    table.clear(slots[2])
    reader = SlotReader(table.path)

    assert [entry.resource for _, entry in reader.unrecorded()] == ["/v1/a", "/v1/b"]
    assert reader.unrecorded()[0][1].event_id == first.event_id
    assert table.active() == reader.active() == 2  # the closing one waits for the disk alone
    reader.close()
    table.close()
    assert table.path.exists()  # for whoever records what this process has not


def test_the_table_of_a_process_that_recorded_all_goes_with_it(tmp_path: Path) -> None:
    """Requests that get no record do not keep it."""
    table = SlotTable(tmp_path / "a.slots", slots=8)
    request, health = begun("/v1/a"), begun("/health", audited=False)
    slots = [table.take(exchange) for exchange in (request, health)]
    table.retire(slots[0])
    table.clear(slots[0])
    table.dismiss(slots[1])
    table.close()
    assert not table.path.exists()


def test_a_full_table_refuses_and_a_cleared_slot_is_taken_again(tmp_path: Path) -> None:
    """As many requests as slots; the next one is told to come back."""
    table = SlotTable(tmp_path / "a.slots", slots=2)
    first = table.take(begun("/v1/a"))
    table.take(begun("/v1/b"))
    with pytest.raises(Unavailable):
        table.take(begun("/v1/c"))
    table.clear(first)

    assert table.take(begun("/v1/d")) == first
    table.close()


def test_a_table_grows_block_by_block(tmp_path: Path) -> None:
    """Space on the disk is taken before it is written to: a full disk refuses, and does not kill."""
    table = SlotTable(tmp_path / "a.slots", slots=BLOCK + 1)
    before = table.path.stat().st_blocks
    taken = [table.take(begun("/v1/a")) for _ in range(BLOCK + 1)]
    with pytest.raises(Unavailable):
        table.take(begun("/v1/b"))

    assert sorted(taken) == list(range(BLOCK + 1))
    assert table.active() == BLOCK + 1
    assert before * 512 >= BLOCK * CELL_BYTES
    table.close()


def test_a_hostile_path_fits_its_cell(tmp_path: Path) -> None:
    """Long and non-ASCII paths are cut, never spilled into the next cell."""
    table = SlotTable(tmp_path / "a.slots", slots=2)
    table.take(begun("/v1/" + "\N{GRINNING FACE}" * 5000))
    table.take(begun("/v1/next"))
    reader = SlotReader(table.path)

    assert [entry.resource for _, entry in reader.unrecorded()][-1] == "/v1/next"
    reader.close()
    table.close()


def test_the_table_survives_kill_minus_nine(tmp_path: Path) -> None:
    """No flush, no exit handler: the mapping is the page cache."""
    path = tmp_path / "a.slots"
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom tristar.host.slots import SlotTable\n"
        "from tristar.exchange import Exchange\n"
        f"table = SlotTable(Path({str(path)!r}))\n"
        "table.take(Exchange(method='POST', resource='/v1/x', endpoint='e',"
        " started=0, started_at=0, audited=True))\n"
        "print('taken', flush=True)\ntime.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"taken\n"
        os.kill(process.pid, signal.SIGKILL)
    reader = SlotReader(path)

    assert [entry.resource for _, entry in reader.unrecorded()] == ["/v1/x"]
    reader.close()
