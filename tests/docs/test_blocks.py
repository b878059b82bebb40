"""Every code block of the documents, as far as it can be judged without doing what it says.

The monitoring guide is followed line by line in tests/guide; here no page is left out.
"""

import ast
import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from tests.repo.test_tracked_files import repository_files
from typer.main import get_command

from tristar.cli.root import app
from tristar.errors import SettingsInvalid
from tristar.settings import load

ROOT = Path(__file__).parents[2]
PAGES = [path for path in repository_files() if path.suffix == ".md"]
TABLES = {"server", "auth", "dependencies", "slo", "logs", "memory", "providers", "llms", "audit"}
LANGUAGES = {
    "bash",
    "sh",
    "python",
    "toml",
    "json",
    "jsonl",
    "yaml",
    "promql",
    "sql",
    "text",
    "ini",
    "nginx",
    "lua",
}
EXCERPT = (
    *("is not a configured", "names no llm", "is missing", "names a variable that is not set"),
    "No such file or directory",
)
"""What an excerpt may lack: the rest of its file, and the files that it names."""
COMMANDS: Any = get_command(app)
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@dataclass(frozen=True)
class Block:
    """One fenced block, and where it is."""

    place: str
    language: str
    text: str


def blocks() -> Iterator[Block]:
    """Every fenced block of every page."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for found in re.finditer(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```", text, re.MULTILINE | re.DOTALL):
            line = text.count("\n", 0, found.start()) + 1
            lines = [each.removeprefix(found[1]) for each in found[3].splitlines()]
            yield Block(f"{page.relative_to(ROOT)}:{line}", found[2], "\n".join(lines) + "\n")


BLOCKS = list(blocks())


def of(*languages: str) -> list[Block]:
    """The blocks in these languages."""
    return [block for block in BLOCKS if block.language in languages]


def test_blocks_are_found_in_every_language_that_is_judged_here() -> None:
    """A search that finds nothing would prove nothing; and no block has a language that nobody knows."""
    found = {block.language for block in BLOCKS} - {""}

    assert {"bash", "python", "toml", "promql", "json", "yaml"} <= found
    assert found - LANGUAGES == set()


@pytest.mark.parametrize("block", of("toml"), ids=lambda block: block.place)
def test_toml_is_valid_and_names_keys_that_there_are(block: Block, tmp_path: Path) -> None:
    """Read as the gateway would read it: variables that it names are set, llms that it names are there."""
    document = tomllib.loads(block.text)
    if not document.keys() <= TABLES:
        assert not any(isinstance(value, dict) for value in document.values()), "a table that there is not"
        return  # keys of a table that the text around names
    (tmp_path / "tristar.toml").write_text(block.text)
    variables = set(re.findall(r"_env = \"(\w+)\"", block.text)) | set(
        re.findall(r"\b[A-Z]+_API_KEY\b", block.text)
    )
    environ = dict.fromkeys(variables, "a-secret-for-the-documents") | {"OLLAMA_HOST": "127.0.0.1"}
    environ["TRISTAR_ADMIN_KEY"] = "an-admin-key-of-the-documents"
    faults = [fault for fault in faults_of(environ, tmp_path) if not any(each in fault for each in EXCERPT)]

    assert faults == []


def faults_of(environ: dict[str, str], folder: Path) -> list[str]:
    """What the gateway has against the configuration in this folder."""
    try:
        load(environ, folder)
    except SettingsInvalid as invalid:
        return [str(fault) for fault in invalid.faults]
    return []


@pytest.mark.parametrize("block", of("python"), ids=lambda block: block.place)
def test_python_compiles(block: Block) -> None:
    """As a module or, where it awaits, inside an async function; what is imported of ours is there."""
    inside = "async def main():\n" + "".join(f"    {line}\n" for line in block.text.splitlines())
    tree = ast.parse(
        inside if re.search(r"^\s*(await|async for|async with)\b", block.text, re.MULTILINE) else block.text
    )
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in {"tristar", "app"}:
            module = __import__(node.module or "", fromlist=[each.name for each in node.names])
            assert all(hasattr(module, each.name) for each in node.names), block.text


@pytest.mark.parametrize("block", of("promql"), ids=lambda block: block.place)
def test_promql_parses(block: Block) -> None:
    """Each query of the block, by a parser that is not Prometheus itself."""
    text = re.sub(r"^#.*$", "", block.text, flags=re.MULTILINE)
    queries = [query for query in re.split(r"\n\s*\n|\n(?=\S)", text) if query.strip()]

    assert queries
    assert all(isinstance(promql_parser.parse(query), promql_parser.Expr) for query in _joined(queries))


def _joined(queries: list[str]) -> list[str]:
    """Lines that go on with an operator belong to the query before."""
    joined: list[str] = []
    for query in queries:
        goes_on = re.match(r"\s*(/|\*|\+|-|>|<|and\b|or\b|unless\b|\))", query)
        if goes_on and joined:
            joined[-1] += "\n" + query
        else:
            joined.append(query)
    return joined


@pytest.mark.parametrize("block", of("yaml"), ids=lambda block: block.place)
def test_yaml_is_valid(block: Block) -> None:
    """Each document of the block."""
    assert list(yaml.safe_load_all(block.text))


@pytest.mark.parametrize("block", of("json", "jsonl"), ids=lambda block: block.place)
def test_json_is_valid(block: Block) -> None:
    """A document, or one on each line; an ellipsis stands for more members."""
    text = re.sub(r",?\s*(\.\.\.|…)\s*(?=[}\]])", "", block.text)
    try:
        json.loads(text)
    except ValueError:
        assert all(json.loads(line) for line in text.splitlines() if line.strip()), block.text


SHELL = of("bash", "sh")


@pytest.mark.parametrize("block", SHELL, ids=lambda block: block.place)
def test_shell_is_valid(block: Block) -> None:
    """By `bash -n`: quotes and brackets are closed."""
    checked = subprocess.run(
        ["bash", "-n"], input=block.text, capture_output=True, text=True, check=False, timeout=20
    )

    assert (checked.returncode, checked.stderr) == (0, "")


def calls(program: str) -> list[tuple[str, list[str]]]:
    """Every call of this program in a shell block: where, and its words."""
    found = []
    for block in SHELL:
        whole = re.sub(r"\\\n\s*", " ", block.text)
        whole = re.sub(r"(^|\s)#.*$", "", whole, flags=re.MULTILINE)
        for line in re.split(r"\n|&&|\|\||;|\$\(|\|", whole):
            words = re.sub(r"'[^']*'|\"[^\"]*\"", "QUOTED", line).split()
            for at, word in enumerate(words):
                if word.rpartition("/")[2] == program and all(
                    "=" in each or each in PREFIXES for each in words[:at]
                ):
                    found.append((block.place, [each.rstrip(")") for each in words[at + 1 :]]))
                    break
    return found


PREFIXES = {"sudo", "exec", "-u", "ailinux-backend", "env", "docker", "run"}


@pytest.mark.parametrize(("place", "words"), calls("tristar"), ids=[place for place, _ in calls("tristar")])
def test_every_tristar_command_and_option_is_there(place: str, words: list[str]) -> None:
    """Its name, and each option that is given to it."""
    command = COMMANDS
    rest = list(words)
    while (inner := getattr(command, "commands", None)) and rest and not rest[0].startswith("-"):
        name = rest.pop(0)
        assert name in inner, f"{place}: tristar {' '.join(words)}"
        command = inner[name]
    options = {name for each in command.params for name in (*each.opts, *each.secondary_opts)} | {"--help"}
    given = {word.partition("=")[0] for word in rest if word.startswith("--")}

    assert given - options == set(), f"{place}: tristar {' '.join(words)}"


@pytest.mark.parametrize(("place", "words"), calls("make"), ids=[place for place, _ in calls("make")])
def test_every_make_target_is_there(place: str, words: list[str]) -> None:
    """A target that was renamed is found here."""
    named = [word for word in words if re.fullmatch(r"[a-z-]+", word)]

    assert set(named) <= TARGETS, f"{place}: make {' '.join(words)}"


def test_every_address_of_the_gateway_in_a_shell_block_is_a_route() -> None:
    """Against the generated list of routes; METRICS_PATH and a client's base URL are beside them."""
    routes = re.findall(r"`[A-Z]+ (/[^`]*)`", (ROOT / "docs/reference/http.md").read_text())
    known = [
        re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(route)) + r"$")
        for route in (*routes, "/metrics", "/v1")
    ]
    asked = {
        (block.place, found[1].rstrip("/") or "/")
        for block in SHELL
        for found in re.finditer(r"(?:localhost|127\.0\.0\.1):9100(/[^\s'\"?#)]*)", block.text)
    }

    assert asked
    assert [
        (place, path) for place, path in sorted(asked) if not any(each.match(path) for each in known)
    ] == []
