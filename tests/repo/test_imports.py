"""What `tristar serve` may not load at its start: parts that most gateways never use."""

import subprocess
import sys

import pytest

FORBIDDEN = (
    *("alembic", "asyncpg", "boto3", "duckdb", "genai_prices", "grpc", "httpx", "mcp", "nats", "numpy"),
    *("opentelemetry.exporter", "opentelemetry.sdk", "psycopg", "redis", "uvicorn", "websockets"),
)
MODULES_LIMIT = 860
"""784 of other packages at the time of writing: a rise by a tenth is a new dependency, and is looked at."""


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    """The modules of a process that is about to serve."""
    code = "import sys, tristar.serving, tristar.cli.root; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("name", FORBIDDEN)
def test_what_is_seldom_used_is_not_loaded_at_the_start(loaded: set[str], name: str) -> None:
    """Each costs start-up time and memory in every worker; it is loaded where it is first needed."""
    assert name not in loaded


def test_no_more_is_loaded_than_was_agreed(loaded: set[str]) -> None:
    """Modules stand for time and memory here: a loaded machine does not change their number."""
    foreign = {name for name in loaded if name.partition(".")[0] != "tristar"}

    assert len(foreign) <= MODULES_LIMIT
