"""SQL as a clerk answers it, many questions with one start: `python -m tests.audit.clerks DIRECTORY`.

Each line on standard input, a JSON string, is answered in a forked process that has given up what a clerk
gives up; the answer is a JSON line: [rows, truncated], or the refusal as a string.
"""

import os
import sys
from pathlib import Path

import msgspec

from tristar.audit import confinement, sql
from tristar.errors import TriStarError

MEMORY_MB = 128


def main() -> None:
    """Answer every line."""
    directory = Path(sys.argv[1])
    for line in sys.stdin.buffer.readlines():
        pid = os.fork()
        if pid == 0:
            os.write(1, msgspec.json.encode(_answer(directory, msgspec.json.decode(line, type=str))) + b"\n")
            os._exit(0)
        if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
            os.write(1, b'"the process was ended"\n')


def _answer(directory: Path, text: str) -> object:
    confinement.bound(20, MEMORY_MB + 768)
    confinement.deny_writing()
    try:
        found = sql.run(directory, text, 5, MEMORY_MB)
    except TriStarError as error:
        return str(error)
    return [found.data, found.truncated]


if __name__ == "__main__":
    main()
