"""Reading a configuration file: bounded, decoded, and every failure a fault."""

import re
import tomllib
from pathlib import Path
from typing import Any, Final

from tristar.settings.faults import Faults

MAX_FILE_BYTES: Final = 4 * 1024 * 1024

_PLACE = re.compile(r"(?P<what>.*) \(at (?P<where>line \d+, column \d+|end of document)\)", re.DOTALL)


def is_there(path: Path) -> bool:
    """Whether there is something at `path`, or nobody can say that there is not: reading it will tell."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def read_text(path: Path, faults: Faults) -> str | None:
    """The text of `path`, or None after noting why there is none."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        faults.add(str(path), "", f"cannot be read: {reason}", "Check the path and its permissions.")
        return None
    if len(data) > MAX_FILE_BYTES:
        faults.add(str(path), "", f"is larger than {MAX_FILE_BYTES} bytes", "Name the right file.")
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        faults.add(f"{path}, line {line}", "", "is not UTF-8 text", "Save the file as UTF-8.")
        return None


def read_document(path: Path, faults: Faults) -> dict[str, Any] | None:
    """The TOML document in `path`, or None after noting why there is none."""
    text = read_text(path, faults)
    if text is None:
        return None
    if not text.strip():
        faults.add(
            str(path), "", "is empty", "Remove it to run with the defaults, or write the configuration."
        )
        return None
    try:
        return tomllib.loads(text)
    except RecursionError:
        faults.add(str(path), "", "is nested too deep", "Write it as flat tables.")
    except ValueError as error:  # TOMLDecodeError, or a number with thousands of digits
        found = _PLACE.fullmatch(str(error))
        what, where = (found["what"], f", {found['where']}") if found else (str(error), "")
        faults.add(f"{path}{where}", "", f"is not valid TOML: {what}", "Correct that line.")
    return None
