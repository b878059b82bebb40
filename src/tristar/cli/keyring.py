"""The keys in the database that `serve` uses, for `tristar keys`; loaded by its commands alone."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from tristar.auth.keys import Keys, MadeKey, NewKey, StoredKey
from tristar.auth.outline import outline as outline  # noqa: PLC0414 - for the commands, which load this late
from tristar.auth.outline import trail
from tristar.cli.endings import Misused
from tristar.cli.recording import Recorder, operator, refuse_stranger
from tristar.cli.terminal import FAILED, fail
from tristar.clock import SystemClock
from tristar.errors import AuditUnavailable
from tristar.settings import Settings
from tristar.storage.opening import open_engine
from tristar.storage.sqlite import FILE_NAME

_PAGE_KEYS = 1000
_Answer = TypeVar("_Answer")
Edit = Callable[[StoredKey], NewKey]


def make(settings: Settings, recorder: Recorder, new: NewKey) -> MadeKey:
    """Make a key that the log tells of; one that it cannot tell of is revoked unseen, and the command ends.

    Raises:
        DatabaseDown, SettingsInvalid: the database cannot be used.
    """

    async def work(keys: Keys) -> MadeKey:
        made = await keys.make(new, f"os:{operator()}")
        try:
            await recorder.record("key_created", f"/admin/keys/{made.stored.id}", trail(made.stored))
        except AuditUnavailable as error:
            await keys.revoke(made.stored.id)
            fail(f"No key was made: the audit log cannot record it ({error}).", FAILED)
        return made

    return _with_keys(settings, work)


def change(settings: Settings, recorder: Recorder, key_id: str, edit: Edit, told: Sequence[str]) -> StoredKey:
    """Change a key's terms and record it; a change that cannot be recorded is undone.

    Raises:
        NotFound, Conflict, BadRequest, Misused: see `Keys.change`.
        DatabaseDown, SettingsInvalid: the database cannot be used.
    """

    async def work(keys: Keys) -> StoredKey:
        changed = await keys.change(key_id, edit)
        details = trail(changed.after) | {"changed": sorted(told)}
        await _record_update(keys, recorder, changed.before, details)
        return changed.after

    return _with_old_keys(settings, work)


def rotate(settings: Settings, recorder: Recorder, key_id: str, overlap_s: float) -> MadeKey:
    """Replace a key and record it; a rotation that cannot be recorded is undone. Raises as `change`."""

    async def work(keys: Keys) -> MadeKey:
        made = await keys.rotate(key_id, overlap_s)
        assert made.before is not None  # noqa: S101 - it was rotated
        details = trail(made.stored) | {"changed": ["key"], "overlap_s": overlap_s}
        await _record_update(keys, recorder, made.before, details)
        return made

    return _with_old_keys(settings, work)


async def _record_update(
    keys: Keys, recorder: Recorder, before: StoredKey, details: dict[str, object]
) -> None:
    try:
        await recorder.record("key_updated", f"/admin/keys/{before.id}", details)
    except AuditUnavailable as error:
        await keys.put_back(before)
        fail(f"Nothing was changed: the audit log cannot record it ({error}).", FAILED)


def revoke(settings: Settings, recorder: Recorder, key_id: str) -> StoredKey:
    """Revoke a key, then record it: whatever the log's state, the key must not work on.

    Raises:
        NotFound, Misused: there is no such key.
        DatabaseDown, SettingsInvalid: the database cannot be used.
    """

    async def work(keys: Keys) -> StoredKey:
        stored = await keys.revoke(key_id)
        try:
            await recorder.record("key_revoked", f"/admin/keys/{key_id}", trail(stored))
        except AuditUnavailable as error:
            fail(f"{key_id} is revoked, but the audit log could not record it: {error}.", FAILED)
        return stored

    return _with_old_keys(settings, work)


def every(settings: Settings) -> list[StoredKey]:
    """All keys, newest first. Raises as `make`."""

    async def work(keys: Keys) -> list[StoredKey]:
        page = await keys.page(_PAGE_KEYS)
        found = list(page.keys)
        while page.next_cursor is not None:
            page = await keys.page(_PAGE_KEYS, page.next_cursor)
            found += page.keys
        return found

    return _with_keys(settings, work) if has_database(settings) else []


def has_database(settings: Settings) -> bool:
    """Whether there is a database already; one elsewhere is taken to be there."""
    return settings.database_url is not None or (settings.data_dir / FILE_NAME).exists()


def _with_old_keys(settings: Settings, work: Callable[[Keys], Awaitable[_Answer]]) -> _Answer:
    """As `_with_keys`, where there must be keys already."""
    if not has_database(settings):
        raise Misused(f"There are no keys in {settings.data_dir}: check TRISTAR_DATA_DIR.")
    return _with_keys(settings, work)


def _with_keys(settings: Settings, work: Callable[[Keys], Awaitable[_Answer]]) -> _Answer:
    if settings.database_url is None:
        refuse_stranger(settings.data_dir)

    async def run() -> _Answer:
        database = open_engine(settings.database_url, settings.data_dir)
        try:
            return await work(Keys(database, SystemClock()))
        finally:
            await database.close()

    return asyncio.run(run())


def state(key: StoredKey, now_s: float) -> str:
    """Whether it works, and until when."""
    if key.revoked_at is not None:
        return f"revoked {moment(key.revoked_at)}"
    if key.expires_at is None:
        return "active"
    return f"{'active until' if key.expires_at > now_s else 'expired'} {moment(key.expires_at)}"


def moment(seconds: float | None) -> str | None:
    """A time of the database for people: to the second."""
    return None if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
