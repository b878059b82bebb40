"""Files that cannot be read are faults, each with its place."""

from pathlib import Path

import pytest

from tristar.errors import Fault, SettingsInvalid
from tristar.settings import load
from tristar.settings.source import MAX_FILE_BYTES


def fault_of(directory: Path, config: Path | None = None, environ: dict[str, str] | None = None) -> Fault:
    """The one fault that loading finds."""
    with pytest.raises(SettingsInvalid) as caught:
        load(environ or {}, directory, config)
    (fault,) = caught.value.faults
    return fault


def write(directory: Path, content: str | bytes, name: str = "tristar.toml") -> Path:
    """A file in the directory."""
    path = directory / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_broken_toml_names_file_line_and_column(tmp_path: Path) -> None:
    """The operator can go straight to the place."""
    path = write(tmp_path, "[server]\nport 9100\n")

    fault = fault_of(tmp_path)

    assert fault.key == f"{path}, line 2, column 6"
    assert "not valid TOML" in fault.problem


def test_toml_that_ends_too_early_says_so(tmp_path: Path) -> None:
    """A file cut short is not read as far as it goes."""
    write(tmp_path, "[server")

    assert "not valid TOML" in fault_of(tmp_path).problem


def test_two_llms_of_one_name_are_refused(tmp_path: Path) -> None:
    """The second table does not silently replace the first."""
    write(tmp_path, "[llms.fast]\nprovider = 'a'\n[llms.fast]\nprovider = 'b'\n")

    fault = fault_of(tmp_path)

    assert "line 3" in fault.key
    assert "twice" in fault.problem


@pytest.mark.parametrize("content", ["", " \n\n"])
def test_an_empty_file_is_refused(tmp_path: Path, content: str) -> None:
    """An empty file is more likely a failed write than a wish for the defaults."""
    write(tmp_path, content)

    assert fault_of(tmp_path).problem == "is empty"


def test_a_file_of_comments_gives_the_defaults(tmp_path: Path) -> None:
    """Everything commented out is a choice."""
    write(tmp_path, "# nothing yet\n")

    assert load({}, tmp_path).server.port == 9100


def test_a_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    """Editors of other systems may write one."""
    write(tmp_path, b"\xef\xbb\xbf[server]\nport = 1\n")

    assert load({}, tmp_path).server.port == 1


def test_a_named_file_that_is_missing_is_a_fault(tmp_path: Path) -> None:
    """--config of a file that is not there does not fall back to the defaults."""
    fault = fault_of(tmp_path, Path("missing.toml"))

    assert fault.problem == "cannot be read: No such file or directory"


def test_a_directory_in_place_of_the_file_is_a_fault(tmp_path: Path) -> None:
    """TRISTAR_CONFIG must name a file."""
    (tmp_path / "conf").mkdir()

    assert "Is a directory" in fault_of(tmp_path, environ={"TRISTAR_CONFIG": "conf"}).problem


@pytest.mark.parametrize("name", ["tristar.toml", ".env"])
def test_text_that_is_not_utf8_names_its_line(tmp_path: Path, name: str) -> None:
    """The wrong encoding is found before its content is used."""
    path = write(tmp_path, b"# fine\n# \xff\n", name)

    assert fault_of(tmp_path).key == f"{path}, line 2"


def test_a_file_beyond_the_bound_is_refused(tmp_path: Path) -> None:
    """Input is bounded: a wrong path to a large file does not fill the memory."""
    write(tmp_path, b"#" * (MAX_FILE_BYTES + 1))

    assert "is larger than" in fault_of(tmp_path).problem


@pytest.mark.parametrize("content", ["x = " + "[" * 100_000, "port = " + "9" * 5_000])
def test_hostile_toml_is_refused_like_any_other(tmp_path: Path, content: str) -> None:
    """Depth and digits that the parser does not survive are faults as well."""
    write(tmp_path, content)

    assert fault_of(tmp_path).fix != ""


def test_a_line_of_dotenv_that_sets_nothing_is_a_fault(tmp_path: Path) -> None:
    """A broken line is named, not skipped."""
    path = write(tmp_path, "AUDIT_MODE=strict\nthis is 'not a line\n", ".env")

    assert fault_of(tmp_path).key == f"{path}, line 2"
