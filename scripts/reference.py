"""The reference pages that come from the code: commands, errors, routes."""

import json
import os
import re
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from typer.main import get_command

import tristar.app  # noqa: F401 - whatever a gateway loads may define errors
from tristar.cli.root import app
from tristar.errors import GatewayError

MADE = "Written from the code by `make docs`; `make check` compares."
_METHODS = ("get", "post", "put", "patch", "delete")


def files() -> Mapping[str, str]:
    """Every page by its path in the repository."""
    return {
        "docs/reference/commands.md": _commands(),
        "docs/reference/errors.md": _errors(),
        "docs/reference/http.md": _http(),
    }


def _commands() -> str:
    blocks = ["# Commands", MADE, "Exit codes: 0 done, 1 the check failed, 2 wrong use or configuration."]
    for path, command in _walk(get_command(app), ("tristar",)):
        blocks.append(f"## `{' '.join(path)}`")
        blocks.append(_plain(command.help or ""))
        rows = [_parameter(each) for each in command.params if each.name != "help"]
        if rows:
            blocks.append("\n".join(["| | | |", "|---|---|---|", *rows]))
    return "\n\n".join(blocks) + "\n"


def _walk(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield path, command
        return
    for name in sorted(inner):
        yield from _walk(inner[name], (*path, name))


def _parameter(parameter: click.Parameter) -> str:
    word = parameter.metavar or ""
    told = "`" + ", ".join(parameter.opts) + (f" {word}" if word else "") + "`"
    if parameter.param_type_name == "argument":
        told = f"`{word or parameter.name.upper()}`"
    must = "required" if parameter.required else ""
    return f"| {told} | {_cell(getattr(parameter, 'help', None) or '')} | {must} |"


def _errors() -> str:
    rows = sorted({(each.status, each.code, each.__name__): each for each in _tree(GatewayError)}.items())
    lines = [
        "# Errors",
        "",
        MADE,
        "",
        "What a client can get, by status. `code` is in the body, on every surface in its own envelope.",
        "",
        "| status | code | what happened, and what to do |",
        "|---|---|---|",
    ]
    for (status, code, _), each in rows:
        lines.append(f"| {status} | `{code}` | {_cell(_plain(each.__doc__ or ''))} |")
    return "\n".join(lines) + "\n"


def _tree(kind: type[GatewayError]) -> Iterator[type[GatewayError]]:
    for each in kind.__subclasses__():
        yield each
        yield from _tree(each)


def _http() -> str:
    document = _openapi()
    lines = [
        "# HTTP routes",
        "",
        MADE,
        "",
        "A running gateway describes itself in full under `/openapi.json`, and to read under `/docs`.",
        "",
        "| route | what | answers |",
        "|---|---|---|",
    ]
    for path, methods in sorted(document["paths"].items()):
        lines += [_route(path, method, methods[method]) for method in _METHODS if method in methods]
    return "\n".join(lines) + "\n"


def _route(path: str, method: str, described: Mapping[str, Any]) -> str:
    told = str(described.get("description") or described.get("summary") or "")
    first = _plain(told).split("\n\n")[0]
    answers = ", ".join(sorted(described["responses"]))
    return f"| `{method.upper()} {path}` | {_cell(first)} | {answers} |"


def _openapi() -> dict[str, Any]:
    with (
        tempfile.TemporaryDirectory() as folder,
        _gateway(Path(folder)) as url,
        urllib.request.urlopen(f"{url}/openapi.json", timeout=20) as answer,
    ):
        found: dict[str, Any] = json.load(answer)
        return found


@contextmanager
def _gateway(folder: Path) -> Iterator[str]:
    """A gateway as it starts with no configuration."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tristar", "serve", "--port", "0"],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout:
        found = re.match(r"listening on (\S+)", process.stdout.readline())
        try:
            assert found is not None, "the gateway did not start"
            yield found[1]
        finally:
            process.terminate()
            process.wait(30)


def _plain(text: str) -> str:
    """A docstring without its indentation; lines of a paragraph joined."""
    paragraphs = re.split(r"\n\s*\n", text)
    return "\n\n".join(" ".join(each.split()) for each in paragraphs).strip()


def _cell(text: str) -> str:
    return text.replace("\n\n", " ").replace("|", "\\|")
