"""Reading the configuration for a command, as `serve` would read it in the same place."""

import os
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from tristar.cli.terminal import WRONG, fail
from tristar.errors import SettingsInvalid
from tristar.settings import Settings, load

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Configuration file, instead of tristar.toml."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for a script to read.")]


def read_settings(config: Path | None, **flags: str | int | None) -> Settings:
    """The settings of the working directory; `flags` that are None are not set.

    Raises:
        SettingsInvalid: with every fault.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    return load(os.environ, Path.cwd(), config, given)


def refuse(invalid: SettingsInvalid) -> NoReturn:
    """End the command because the configuration is wrong: one line for each fault, exit code 2."""
    count = len(invalid.faults)
    heading = f"{count} fault{'s' if count > 1 else ''} in the configuration; nothing was started or changed."
    fail("\n".join([heading, *(f"  {fault}" for fault in invalid.faults)]), WRONG)


def settings_or_refuse(config: Path | None, **flags: str | int | None) -> Settings:
    """The settings of the working directory, or the end of the command."""
    try:
        return read_settings(config, **flags)
    except SettingsInvalid as invalid:
        refuse(invalid)
