"""Do Redis and the database answer, fast enough, and in the shape that this version needs?"""

import asyncio
import re
import time
from pathlib import Path
from typing import Final

from tristar.doctor.finding import Finding, bad, doubtful, good
from tristar.errors import SettingsInvalid
from tristar.settings import Settings
from tristar.sharing import Script, StoreUnavailable
from tristar.storage import revisions
from tristar.storage.engine import Database, DatabaseDown
from tristar.storage.opening import open_engine
from tristar.storage.schema import HEAD
from tristar.storage.sqlite import FILE_NAME

PATIENCE_S: Final = 5.0
REDIS_DEADLINE_S: Final = 0.05
"""No request waits longer for Redis: a slower one is as good as none."""
ROUNDS: Final = 9

_VERSION = re.compile(r"redis_version:(\d+)\.(\S+)")
_OLDEST_REDIS: Final = 6


async def examine_redis(settings: Settings) -> list[Finding]:
    """Reachable, new enough, scripts allowed, and quick."""
    if settings.redis_url is None:
        return [good("redis", "not configured: limits and breakers are this host's own")]
    try:
        script = Script(settings.redis_url, "return redis.call('INFO', 'server')")
    except SettingsInvalid as invalid:
        return [bad("redis", fault.problem, fault.fix) for fault in invalid.faults]
    try:
        async with asyncio.timeout(PATIENCE_S):
            return [await _try(script)]
    except StoreUnavailable as error:
        fix = "See that REDIS_URL is right, that it runs, and that its ACL allows EVAL, EVALSHA and SCRIPT."
        return [bad("redis", str(error), fix)]
    except TimeoutError:
        fix = "See that it runs and that no firewall drops the connection."
        return [bad("redis", f"no answer within {PATIENCE_S:g} s", fix)]
    finally:
        await script.close()


async def _try(script: Script) -> Finding:
    await script.open()
    told, times = b"", []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        reply = await script.run(["{tristar:doctor}"], [])
        times.append(time.perf_counter() - began)
        told = reply if isinstance(reply, bytes) else str(reply).encode()
    middle_s = sorted(times)[len(times) // 2]
    found = _VERSION.search(told.decode(errors="replace"))
    version = f"{found[1]}.{found[2]}" if found else "of unknown version"
    said = f"Redis {version}, scripts allowed, {middle_s * 1000:.1f} ms each way"
    if found and int(found[1]) < _OLDEST_REDIS:
        return bad("redis", said, f"Use Redis {_OLDEST_REDIS} or newer.")
    if middle_s > REDIS_DEADLINE_S:
        fix = "Put it nearer: after 50 ms a request goes on with this host's own limits."
        return bad("redis", said, fix)
    return good("redis", said)


async def examine_database(settings: Settings) -> list[Finding]:
    """Reachable, and its schema one that this version can work with."""
    file = Path(settings.data_dir) / FILE_NAME
    if settings.database_url is None and not file.exists():
        return [good("database", f"SQLite, made at the first start: {file}")]
    try:
        database = open_engine(settings.database_url, settings.data_dir)
    except SettingsInvalid as invalid:
        return [bad("database", fault.problem, fault.fix) for fault in invalid.faults]
    try:
        return [await _revision(database, "PostgreSQL" if settings.database_url else f"SQLite, {file}")]
    except DatabaseDown as error:
        fix = "See that DATABASE_URL is right and that it runs."
        return [bad("database", f"cannot be used: {error.reason}", fix)]
    finally:
        await database.close()


async def _revision(database: Database, name: str) -> Finding:
    began = time.perf_counter()
    found = await database.revision()
    took = f"{(time.perf_counter() - began) * 1000:.0f} ms to connect and ask"
    if found == HEAD:
        return good("database", f"{name}: schema {found} is current ({took})")
    if found is None:
        return good("database", f"{name}: empty, its schema is made at the first start ({took})")
    if found in revisions.known():
        fix = "Back it up; the next start brings it up to date by itself."
        return doubtful("database", f"{name}: schema {found} is older than {HEAD}", fix)
    return bad("database", f"{name}: schema {found} is of a newer version", "Start that version of tristar.")
