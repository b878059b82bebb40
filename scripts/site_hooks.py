"""Hooks of mkdocs: pages outside docs/, and files that documents link to, become part of the site."""

import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
PAGES = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
"""Pages at the repository's root, and where they are on the site."""
FILES = "repository"
"""The folder of the site for files that are linked to and are no pages."""

_LINK = re.compile(r"(?<!\!)\]\((?![a-z]+:|#|/)([^)#\s]+)(#[^)\s]*)?\)")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Pages that the navigation does not name come at its end."""
    named = set(re.findall(r"[\w./-]+\.md", repr(config.nav)))
    docs = Path(config.docs_dir)
    more = [path.relative_to(docs).as_posix() for path in sorted(docs.rglob("*.md"))]
    if left := [path for path in more if path not in named]:
        config.nav.append({"More": left})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the root's pages, and every file that some page links to."""
    for source, place in PAGES.items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / source)))
    for linked in sorted(_linked_files()):
        files.append(File.generated(config, f"{FILES}/{linked}", abs_src_path=str(ROOT / linked)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 - mkdocs'
    """Links that lead through the repository lead through the site."""
    place = page.file.src_uri
    source = _source(place)
    up = "../" * place.count("/")

    def moved(found: "re.Match[str]") -> str:
        target = _normal(source.parent / found[1])
        return f"]({up}{_place(target)}{found[2] or ''})"

    return _outside_fences(markdown, lambda text: _LINK.sub(moved, text))


def _source(place: str) -> PurePosixPath:
    """The path in the repository of a page of the site."""
    known = {there: here for here, there in PAGES.items()}
    return PurePosixPath(known.get(place) or f"docs/{place}")


def _place(target: PurePosixPath) -> str:
    """Where something of the repository is on the site."""
    path = target.as_posix()
    if path in PAGES:
        return PAGES[path]
    if path.startswith("docs/") and path.endswith(".md"):
        return path.removeprefix("docs/")
    if path == "docs/tristar.example.toml":
        return "tristar.example.toml"
    folder = (ROOT / path).is_dir()
    return f"{FILES}/{path}/index.md" if folder else f"{FILES}/{path}"


def _linked_files() -> set[str]:
    """Files outside docs/ that a page links to; pages themselves left out."""
    found: set[str] = set()
    pages = [*(ROOT / name for name in PAGES), *(ROOT / "docs").rglob("*.md")]
    for page in pages:
        folder = PurePosixPath(page.relative_to(ROOT).parent.as_posix())
        for link in _LINK.finditer(_FENCE.sub("", page.read_text(encoding="utf-8"))):
            path = _normal(folder / link[1]).as_posix()
            if (ROOT / path).is_file() and path not in PAGES and not path.startswith("docs/"):
                found.add(path)
    return found


def _normal(path: PurePosixPath) -> PurePosixPath:
    parts: list[str] = []
    for part in path.parts:
        if part == ".." and parts:
            parts.pop()
        elif part not in {".", ".."}:
            parts.append(part)
    return PurePosixPath(*parts)


def _outside_fences(text: str, change: Callable[[str], str]) -> str:
    """`change` applied to everything that is not in a fenced block."""
    done: list[str] = []
    last = 0
    for fence in _FENCE.finditer(text):
        done += [change(text[last : fence.start()]), fence[0]]
        last = fence.end()
    return "".join([*done, change(text[last:])])
