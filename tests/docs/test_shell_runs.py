"""Every shell block of the documents is run here, or by a test that is named, or it is said why not.

A page's blocks run in their order, in one folder, beside a gateway that has served a few calls. What stands
for something of the reader's (a host, a folder, an id) is replaced by what there is here: see `_here`.
"""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml
from tests.docs.test_blocks import ROOT, SHELL, Block, of
from tests.gateway import Gateway, document, llm, provider
from tests.prometheus.station import until
from tests.storage.postgres import new_postgres
from tests.upstream import Upstream

TRACE = "0af7651916cd43dd8448eb211c80319c"
PERSON = "USER"
"""The audit page's word for a caller's end user: such a one has called."""

ELSEWHERE = {
    "make run     # the gateway": ("tests/deploy/test_release.py", "test_a_newcomer_has_an_answer"),
    "# Gateway samt prometheus_client": ("tests/guide/test_3_installation.py", "GERMAN.blocks(3"),
    "tristar audit recover --accept-truncation": ("tests/cli/test_audit.py", "--accept-truncation"),
    "openssl ts -verify": ("tests/audit/anchors/test_stamp.py", "-verify"),
    "deploy/systemd/install.sh --dry-run": ("tests/deploy/test_systemd.py", "--dry-run"),
    "make check    ": ("tests/deploy/test_release.py", "SOURCE_DATE_EPOCH"),
}
"""By how a block begins: the file that runs what of it a build machine can (no service manager, no signing
key), and what shows there that it does."""

WHOLE_PAGES = {"docs/audit-operations.md": "tests/audit/test_operations.py"}
"""Pages whose every block another test runs."""

CANNOT = {
    "# Install the gateway with": "the German page's, which tests/guide follows and compares",
    "cd /etc/ailinux-backend && sudo": "it is the installed service's; the command runs here on other pages",
    "cp deploy/docker/.env.example": "no container engine; tests/deploy judges the files by their schemas",
    "kubectl create secret": "no cluster; tests/deploy judges the manifests by Kubernetes' own schemas",
    "pipx install": "no release to fetch; tests/deploy installs the wheel into an empty environment",
    "git verify-tag": "a maintainer would have to have signed; the same bytes: tests/deploy",
    "scp logs/audit/checkpoint": "another host would have to take the copy",
}
"""By how a block begins: why it is not run, only judged (`test_blocks`)."""

PROMETHEUS_3 = "prometheus-3.yml"
"""Debian has Prometheus 2: tests/prometheus/test_rules.py holds that the two files differ in one key."""

SERVES = re.compile(r"\b(tristar serve|prometheus) ?")
READY_WITHIN_S = 60.0
STOPPED = re.compile(r"# the gateway is stopped")
"""Of commands before which the reader stops the gateway; they come last on the last page that needs one."""

READY = {"tristar serve": "listening on", "prometheus": "Server is ready to receive web requests"}


def is_elsewhere(block: Block) -> bool:
    """Whether another test runs it, or none can."""
    page = block.place.partition(":")[0]
    return page in WHOLE_PAGES or any(block.text.startswith(each) for each in (*ELSEWHERE, *CANNOT))


RUN_HERE = [block for block in SHELL if not is_elsewhere(block)]
PAGES = sorted({block.place.partition(":")[0] for block in RUN_HERE})


@dataclass(frozen=True)
class Place:
    """Where a page's blocks run: a gateway's folder, its environment, and what stands for what."""

    gateway: Gateway
    environ: dict[str, str]
    here: dict[str, str]

    def text(self, block: Block) -> str:
        """The block with what there is here in place of what the reader has."""
        text = block.text
        for theirs, ours in self.here.items():
            text = text.replace(theirs, ours)
        return text

    def run(self, block: Block) -> None:
        """Run it to its end; what serves until it is stopped is stopped once it is ready."""
        commands = self.text(block)
        if SERVES.search(commands):
            for line in commands.splitlines():
                if PROMETHEUS_3 not in line:
                    self._serve(line)
            return
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=self.gateway.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

        assert done.returncode == 0, f"{block.place}\n{commands}\n{done.stdout}{done.stderr}"

    def _serve(self, line: str) -> None:
        found = SERVES.search(line)
        assert found, line
        beside = self.gateway.folder / "beside"
        beside.mkdir(exist_ok=True)
        with subprocess.Popen(
            ["bash", "-c", f"exec env {line}"],
            cwd=beside,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as server:
            assert server.stdout is not None
            patience = threading.Timer(READY_WITHIN_S, server.kill)
            patience.start()
            said = []
            for each in server.stdout:
                said.append(each)
                if READY[found[1]] in each:
                    break
            server.send_signal(signal.SIGTERM)
            said += server.stdout.readlines()
            patience.cancel()

        assert READY[found[1]] in "".join(said), f"{line}\n{''.join(said)}"
        assert server.returncode == 0, f"{line}\n{''.join(said)}"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A gateway with an llm, erasable records, two calls and one memory; a PostgreSQL beside it."""
    folder = tmp_path_factory.mktemp("pages")
    with ExitStack() as stack:
        upstream = stack.enter_context(Upstream())
        toml = document(provider("local", upstream.base_url), llm("fast", "local"))
        env = {"AUDIT_ERASABLE": "true", "AUDIT_LOG_DIR": str(folder / "logs/audit")}
        gateway = stack.enter_context(Gateway(folder, toml=toml, env=env))
        database = stack.enter_context(new_postgres())
        database.start()
        with httpx.Client(base_url=gateway.url, timeout=30, trust_env=False) as http:
            for _ in range(2):
                _call(http)
            entry = http.post("/v1/memory", json={"content": "PostgreSQL listens on port 6432"}).json()
        yield Place(gateway, _environ(folder), _here(gateway, database.url_of(), entry["id"]))


def _call(http: httpx.Client) -> None:
    body = {"model": "fast", "messages": [{"role": "user", "content": "hello"}], "user": PERSON}
    told = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
    http.post("/v1/chat/completions", json=body, headers=told).raise_for_status()


def _environ(folder: Path) -> dict[str, str]:
    """A reader's shell in that folder, where a curl that is refused fails."""
    safe = folder / "safe"
    safe.mkdir()
    (folder / ".curlrc").write_text("fail-with-body\nnoproxy = *\n")
    return {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(folder),
        "CURL_HOME": str(folder),
        "AUDIT_ERASABLE": "true",
        "OPENAI_API_KEY": "sk-of-the-reader",
    }


def _here(gateway: Gateway, database: str, entry_id: str) -> dict[str, str]:
    """What stands for what, in this order."""
    folder = gateway.folder
    host = gateway.url.removeprefix("http://")
    return {
        "127.0.0.1:9100": host,
        "localhost:9100": host,
        "/safe/": f"{folder}/safe/",
        "/srv/siem/": f"{folder}/siem-",
        "mem_…": entry_id,
        "audit prove 4711": "audit prove 1",
        "audit tail -f ": "audit tail ",
        "PGPASSWORD=… ": "",
        "postgresql://tristar@db.internal/tristar": database,
        "OPENAI_API_KEY=… make run": "OPENAI_API_KEY=sk-of-the-reader tristar serve",
        "tristar serve": "tristar serve --port 0",
        "--config.file=prometheus/": f"--web.listen-address=127.0.0.1:0 --config.file={ROOT}/prometheus/",
    }


@pytest.fixture(scope="module")
def kept(place: Place) -> Place:
    """The same, with key and checkpoint kept elsewhere."""
    for name in ("logs/audit/checkpoint", "data/audit-signing.vkey"):
        source = place.gateway.folder / name
        until(source.exists)
        (place.gateway.folder / "safe" / source.name).write_bytes(source.read_bytes())
    return place


@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_the_page_does_what_it_says(page: str, kept: Place) -> None:
    """In the page's order; each command's exit code is 0."""
    _lay_out(page, kept)
    for block in RUN_HERE:
        if not block.place.startswith(page + ":"):
            continue
        if STOPPED.search(block.text):
            kept.gateway.stop()
        kept.run(block)


def _lay_out(page: str, place: Place) -> None:
    """What the reader of that page has before its first command."""
    if page == "docs/migration.md":
        (place.gateway.folder / "config.yaml").write_text(yaml.safe_dump(LITELLM))
        (place.gateway.folder / "tristar.toml").unlink(missing_ok=True)  # a reader has none yet


LITELLM = {
    "model_list": [
        {
            "model_name": "gpt",
            "litellm_params": {"model": "openai/gpt-4o-mini", "api_key": "os.environ/OPENAI_API_KEY"},
        }
    ]
}


def test_every_block_runs_somewhere() -> None:
    """The tables name blocks that are there, and tests that are there and speak of it."""
    begun = (*ELSEWHERE, *CANNOT)
    stale = [each for each in begun if not any(block.text.startswith(each) for block in SHELL)]
    missing = [
        (file, word)
        for file, word in ELSEWHERE.values()
        if not (ROOT / file).is_file() or word not in (ROOT / file).read_text()
    ]

    assert (stale, missing) == ([], [])
    assert all((ROOT / file).is_file() for file in WHOLE_PAGES.values())
    assert len(of("bash", "sh")) == len(SHELL) > len(RUN_HERE) > 0
