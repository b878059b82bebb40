"""SQL from people reads the log, and nothing else whatever it says."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.audit.specimens import describe, lines, write_log

from tristar.audit import parquet

ROOT = Path(__file__).parents[2]


def answers(directory: Path, *questions: str) -> list[Any]:
    """What a clerk makes of each question: [rows, truncated], or the refusal."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.audit.clerks", str(directory)],
        input="".join(json.dumps(question) + "\n" for question in questions),
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}/src:{ROOT}", "CANARY": "sk-canary-in-the-environment"},
    )
    assert not done.stderr, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty records: a segment with columns, a closed one without, an active one with a torn end."""
    directory = tmp_path_factory.mktemp("log")
    content = lines(60)
    write_log(directory, content[:20], content[20:40], content[40:], torn=b'{"timestamp":"2026-')
    describe(directory, 0)
    return directory


QUESTIONS = {
    "SELECT count(*), min(seq), max(seq) FROM audit": [[[60, 0, 59]], False],
    "FROM audit SELECT seq": [[[seq] for seq in range(5)], True],
    "SELECT seq FROM audit ORDER BY seq DESC; -- the newest": [[[seq] for seq in range(59, 54, -1)], True],
    "SELECT trace_id, details.n::INT FROM audit WHERE trace_id = 'trace-47'": [[["trace-47", 47]], False],
    "SELECT timestamp, details FROM audit WHERE seq = 21": [
        [["2025-06-15T15:07:01.000000Z", {"n": 21}]],
        False,
    ],
    "WITH a AS (SELECT user_id u, count(*) n FROM audit GROUP BY 1) SELECT * FROM a ORDER BY u": [
        [["anna", 6], ["bert", 54]],
        False,
    ],
    "SELECT 2::HUGEINT ** 100, 'nan'::FLOAT IS NULL, [1, 2], {'a': DATE '2026-01-31'}, 1.5::DECIMAL(3, 1)": [
        [[2.0**100, False, [1, 2], {"a": "2026-01-31"}, 1.5]],
        False,
    ],
    "SELECT 170141183460469231731687303715884105727, 'ab'::BLOB": [
        [["170141183460469231731687303715884105727", "6162"]],
        False,
    ],
}

FILES = (
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_blob('/proc/self/environ')",
    "SELECT * FROM read_json_objects('{data}/secret')",
    "SELECT * FROM '{data}/secret.csv'",
    "SELECT * FROM read_parquet('{data}/other.parquet')",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM read_csv('https://127.0.0.1:1/x')",
    "SELECT * FROM read_csv('s3://bucket/x')",
    "SELECT * FROM query('SELECT * FROM read_text(''/etc/passwd'')')",
    "FROM json_execute_serialized_sql(json_serialize_sql('SELECT * FROM read_text(''/etc/passwd'')'))",
    "FROM parquet_metadata('{data}/other.parquet')",
)
STATEMENTS = (
    "COPY audit TO '{data}/out.csv'",
    "COPY (SELECT 1) TO '{columns}' (FORMAT parquet, USE_TMP_FILE false)",
    "EXPORT DATABASE '{data}/out'",
    "IMPORT DATABASE '{data}'",
    "ATTACH '{data}/out.db' AS o",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET memory_limit = '100GB'",
    "SET enable_external_access = true",
    "RESET lock_configuration",
    "PRAGMA threads = 64",
    "CALL enable_logging()",
    "CREATE TABLE t AS SELECT 1",
    "CREATE OR REPLACE VIEW audit AS SELECT 1",
    "DROP VIEW audit",
    "CREATE SECRET s (TYPE s3)",
    "SELECT 1; DROP VIEW audit",
    "SELECT 1; COPY (SELECT 1) TO '{data}/out.csv'",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{data}/out.csv'",
    "PREPARE p AS SELECT 1",
    "BEGIN TRANSACTION",
    "CHECKPOINT",
    "USE memory",
    "",
    ";",
)
GREEDY = (
    "SELECT string_agg(repeat('x', 10000000), '') FROM range(1000)",
    "SELECT repeat('x', 2000000000)",
)
WRONG = (
    "SELEC 1",
    "SELECT nothing FROM audit",
    "SELECT * FROM elsewhere",
    "SELECT getenv('CANARY')",
    "\0",
    "SELECT 'a",
)


@pytest.fixture(scope="module")
def told(log: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Every question of this module and its answer, and in `""` nothing."""
    data = tmp_path_factory.mktemp("data")
    (data / "secret").write_text('{"a": "canary-in-a-file"}\n')
    (data / "secret.csv").write_text("a\ncanary-in-a-file\n")
    parquet.build(log)
    (columns,) = map(str, (log / "parquet").iterdir())
    with parquet.connect(threads=1) as connection:
        connection.execute(f"COPY (SELECT 'canary-in-a-file' a) TO '{data}/other.parquet'")
    asked = [*QUESTIONS, *FILES, *STATEMENTS, *GREEDY, *WRONG]
    before = _content(log, data)
    texts = [text.replace("{data}", str(data)).replace("{columns}", columns) for text in asked]
    found = answers(log, *texts)
    assert _content(log, data) == before
    return dict(zip(asked, found, strict=True))


def _content(*folders: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for folder in folders for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_select_is_answered_from_all_of_the_log_in_order(told: dict[str, Any], question: str) -> None:
    """Columns, closed lines and the active segment are one table."""
    assert told[question] == QUESTIONS[question]


@pytest.mark.parametrize("question", FILES)
def test_no_other_file_and_no_network_is_read(told: dict[str, Any], question: str) -> None:
    """Refused in words of ours; not a byte of it in the answer."""
    assert isinstance(told[question], str)
    assert "canary" not in told[question]
    assert "root:" not in told[question]


@pytest.mark.parametrize("question", STATEMENTS)
def test_what_is_no_single_select_is_refused_and_writes_nothing(told: dict[str, Any], question: str) -> None:
    """Before it runs; the fixture has compared every byte of both directories."""
    assert "One SELECT" in told[question]


@pytest.mark.parametrize("question", GREEDY)
def test_memory_is_bounded(told: dict[str, Any], question: str) -> None:
    """The refusal says what would do, or the process has ended alone."""
    assert "128 MB" in told[question] or "process was ended" in told[question] or "emory" in told[question]


@pytest.mark.parametrize("question", WRONG)
def test_what_is_wrong_is_said(told: dict[str, Any], question: str) -> None:
    """In DuckDB's words; nothing of the environment is in them."""
    assert isinstance(told[question], str)
    assert "sk-canary" not in told[question]
