"""How long a question for one trace takes in a large log: `python -m benchmarks.audit_query`.

Lays out closed segments of 150,000 records of about 640 bytes, as retention would find them after weeks, an
active one of half that size, and makes the columns. Then asks for traces, each in a process of its own as the
gateway asks, and in this one as a program does; prints JSON. The log goes to a temporary directory.
"""

import argparse
import asyncio
import hashlib
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import zstandard

from tristar.audit import parquet
from tristar.audit.bureau import Bureau
from tristar.audit.query import query
from tristar.audit.question import Question
from tristar.audit.segments import Manifest

SEGMENT = 150_000
_RECORD = """
SELECT strftime(to_timestamp(1795460742 + i * 0.01) AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%S.%fZ') AS timestamp,
  md5('t' || i) AS trace_id, 'llm_call' AS action, '/v1/chat/completions' AS resource, 'INFO' AS log_level,
  i AS seq, md5('e' || i) AS event_id, 'success' AS outcome, 'key_' || (i % 50) AS user_id,
  NULL::VARCHAR AS session_id, '10.0.0.' || (i % 200) AS ip_address,
  (i * 7919 % 100000) / 100.0 AS duration_ms,
  200 AS status, {'method': 'POST', 'llm_id': 'fast', 'attempts': [{'llm_id': 'fast', 'status': 'success',
  'tokens_input': i % 100, 'tokens_output': 7}], 'prompt_bytes': 48,
  'prompt_hmac': md5('p' || i) || md5('q' || i)}
  AS details, 'ailinux-backend' AS service, '1' AS version, 'h' AS host, '17' AS worker
FROM range({first}, {end}) AS t(i)
"""


def lay_out(directory: Path, records: int) -> None:
    """The log, without a tree: questions do not read it."""
    (directory / "segments").mkdir(parents=True)
    (directory / "manifests").mkdir()
    connection = duckdb.connect(config={"threads": 2})
    first = 0
    while first < records:
        end = min(first + SEGMENT, records)
        path = directory / "segments" / f"{first:020d}.jsonl.zst"
        sql = _RECORD.replace("{first}", str(first)).replace("{end}", str(end))
        connection.execute(f"COPY ({sql}) TO '{path}' (FORMAT json, COMPRESSION zstd)")
        describe(directory, path, first, end - first)
        first = end
    sql = _RECORD.replace("{first}", str(first)).replace("{end}", str(first + SEGMENT // 2))
    connection.execute(f"COPY ({sql}) TO '{directory}/segments/{first:020d}.jsonl' (FORMAT json)")


def describe(directory: Path, path: Path, first: int, records: int) -> None:
    """The segment's manifest."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        for chunk in zstandard.ZstdDecompressor().read_to_iter(file):
            digest.update(chunk)
            size += len(chunk)
    manifest = Manifest(
        first=first, records=records, plain_bytes=size, sha256=digest.hexdigest(),
        packed_bytes=path.stat().st_size, packed_sha256="", oldest="", newest="", root="", frontier="",
    )  # fmt: skip
    (directory / "manifests" / f"{first:020d}.json").write_bytes(manifest.encode())


def timed(work: Callable[[], object]) -> float:
    """Seconds that it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def figures(seconds: list[float]) -> dict[str, float]:
    """p50 and p95."""
    ordered = sorted(seconds)
    return {
        "p50_s": round(statistics.median(ordered), 3),
        "p95_s": round(ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))], 3),
    }


def measure(directory: Path, records: int, questions: int) -> dict[str, object]:
    """Ask for one trace each time, here and through a clerk, by filter and by SQL."""
    chosen = random.Random(1).sample(range(records + SEGMENT // 2), questions)
    traces = [hashlib.md5(f"t{number}".encode()).hexdigest() for number in chosen]

    def here(trace: str) -> None:
        assert len(query(directory, Question(trace_id=trace))) == 1

    async def clerks() -> tuple[list[float], list[float]]:
        bureau, by_filter, by_sql = Bureau(directory), [], []
        for trace in traces:
            began = time.perf_counter()
            assert len(await bureau.ask(Question(trace_id=trace))) == 1
            by_filter.append(time.perf_counter() - began)
            began = time.perf_counter()
            answer = await bureau.sql(f"SELECT * FROM audit WHERE trace_id = '{trace}'", 10)
            assert len(answer.data) == 1
            by_sql.append(time.perf_counter() - began)
        return by_filter, by_sql

    in_process = [timed(lambda trace=trace: here(trace)) for trace in traces]  # type: ignore[misc]  # bound now
    by_filter, by_sql = asyncio.run(clerks())
    size = sum(path.stat().st_size for path in (directory / "parquet").iterdir())
    return {
        "records": records + SEGMENT // 2,
        "active_records": SEGMENT // 2,
        "questions": questions,
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 1),
        "columns_mb": round(size / 1e6),
        "in_process": figures(in_process),
        "gateway_filter": figures(by_filter),
        "gateway_sql": figures(by_sql),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=10_000_000)
    parser.add_argument("--questions", type=int, default=40)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "audit"
        lay_out(directory, chosen.records)
        made_s = timed(lambda: parquet.build(directory))
        found = measure(directory, chosen.records, chosen.questions)
        print(json.dumps({**found, "columns_made_in_s": round(made_s, 1)}, indent=2))


if __name__ == "__main__":
    main()
