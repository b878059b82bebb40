"""What is in the repository: the project alone, with nothing of the machines that it was made on."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "requirements"

# each expression is written so that it does not match itself
FOREIGN = {
    "a path of one machine": r"(?<![\w./-])/(?:wor[k]|roo[t]|hom[e]/\w+|User[s]/\w+)/",
    "a neighbour of the checkout": r"\.\./share[d]\b",
    "a registry's host": r"\b(?:pyp[i]\.org|pythonhoste[d]\.org|registry\.npmj[s]|index-ur[l]\b)",
    "how it was written": r"(?i)\b(?:co-authored-b[y]|generated (?:with|by) (?:an? )?(?:ai|llm|gp[t])|"
    r"clau[d]e code|github copilo[t]|a[s] an ai\b)",
    "an issue number": r"(?i)\b(?:issue|ticket|fixes|closes) #\d",
}
ALLOWED = {
    # it validates against published schemas where a machine has them beside the checkout
    (".ci/run", "a neighbour of the checkout"),
    # the option that keeps the addresses out
    ("scripts/lock", "a registry's host"),
}


def repository_files() -> list[Path]:
    """Every file that is tracked or would be, as git sees it."""
    listed = subprocess.run(
        ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    paths = [ROOT / os.fsdecode(name) for name in listed.stdout.split(b"\0") if name]
    return [path for path in paths if path.is_file()]


def pins(name: str) -> dict[str, str]:
    """The packages that a lock file pins, with their versions."""
    text = (REQUIREMENTS / name).read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9._-]+)==([^\s;\\]+)", text, re.MULTILINE))


def named(requirements: list[str]) -> set[str]:
    """The package names of requirement lines."""
    return {re.split(r"[\[<>=!~ ;]", line)[0].lower() for line in requirements}


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
RUN_TIME = named(PROJECT["project"]["dependencies"]) | {
    name for extra in PROJECT["project"]["optional-dependencies"].values() for name in named(extra)
}
GROUPS = PROJECT["dependency-groups"]


@pytest.mark.parametrize("what", FOREIGN)
def test_no_file_tells_of_the_machine_or_tools_it_was_made_with(what: str) -> None:
    """The project speaks of itself alone."""
    pattern = re.compile(FOREIGN[what])
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in repository_files()
        if (str(path.relative_to(ROOT)), what) not in ALLOWED
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if pattern.search(line)
    ]

    assert found == []


def test_the_expressions_find_what_they_are_for() -> None:
    """A check that cannot fail would be none."""
    samples = {
        "a path of one machine": "/" + "work/main/src",
        "a neighbour of the checkout": "../" + "shared/x",
        "a registry's host": "https://" + "pypi" + ".org/simple",
        "how it was written": "Co-Authored" + "-By: someone",
        "an issue number": "see Issue " + "#12",
    }

    assert all(re.search(FOREIGN[what], sample) for what, sample in samples.items())
    assert samples.keys() == FOREIGN.keys()


@pytest.mark.parametrize("name", ["run.lock", "dev.lock", "tools.lock", "node.lock", "supply.lock"])
def test_every_locked_package_carries_its_hashes(name: str) -> None:
    """What is installed is what was locked, to the bit, wherever it is fetched from."""
    blocks = re.split(r"^(?=[a-z0-9])", (REQUIREMENTS / name).read_text(encoding="utf-8"), flags=re.MULTILINE)
    packages = [block for block in blocks if block.strip()]

    assert packages
    assert [block.split()[0] for block in packages if "--hash=sha256:" not in block] == []
    assert not any("://" in block for block in packages)


def test_the_locks_hold_every_dependency_that_is_declared() -> None:
    """`make lock` was run after the last change of a dependency."""
    assert RUN_TIME | named(GROUPS["build"]) <= pins("run.lock").keys()
    assert named(GROUPS["dev"]) <= pins("dev.lock").keys()
    assert named(GROUPS["tools"]) <= pins("tools.lock").keys()
    assert named(GROUPS["supply"]) <= pins("supply.lock").keys()


def test_what_is_tested_is_what_runs() -> None:
    """The development lock pins the same version of everything that the gateway runs with."""
    assert pins("run.lock").items() <= pins("dev.lock").items()


def test_every_dependency_has_its_reason() -> None:
    """One line for each, with version, licence and why."""
    page = (ROOT / "docs/decisions/0001-dependencies.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"^\| ([a-z0-9-]+) \|", page, re.MULTILINE)) - {"package"}

    assert explained == RUN_TIME | {name for group in GROUPS.values() for name in named(group)}


def test_what_is_run_by_name_can_be_run() -> None:
    """A checkout keeps the execute bit of its scripts."""
    scripts = [path for path in repository_files() if path.read_bytes()[:2] == b"#!"]

    assert ROOT / ".ci/run" in scripts
    assert [str(path) for path in scripts if not os.access(path, os.X_OK)] == []
