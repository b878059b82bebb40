"""The keys as they are stored: made, changed, rotated, revoked, and followed by every gate.

A key is `tsk_` and 256 random bits, shown once; the database holds its SHA-256. A slow hash
would add nothing: there is no guessing 256 bits.
"""

import hashlib
import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from sqlalchemy import BigInteger, Connection, Row, bindparam, func, insert, or_, select, update

from tristar.auth.actor import Limits
from tristar.auth.scopes import Scope
from tristar.auth.terms import restored_by_llm, stored_by_llm
from tristar.clock import Clock
from tristar.errors import BadRequest, Conflict, NotFound
from tristar.exchange import PromptPolicy
from tristar.storage.engine import Database
from tristar.storage.schema import key_revision, keys

PREFIX = "tsk_"
_KEY_ID = re.compile("key_[0-9a-f]{16}")
_AT_A_TIME = 1_000
_KEPT_REVOKED_US = 30 * 86_400 * 1_000_000
"""How long a gate that starts still tells a revoked key from an unknown one."""


@dataclass(frozen=True)
class NewKey:
    """The terms of a key. Lists of None mean all; `expires_at` is in Unix seconds."""

    name: str
    scopes: tuple[Scope, ...]
    llms: tuple[str, ...] | None = None
    projects: tuple[str, ...] | None = None
    limits: Limits = field(default_factory=Limits)
    expires_at: float | None = None
    prompt_policy: PromptPolicy | None = None
    llm_limits: Mapping[str, Limits] | None = None


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key without the key: `hint` is its last four characters. Times are in Unix seconds."""

    id: str
    key_hash: bytes = field(repr=False)
    hint: str
    name: str
    scopes: tuple[Scope, ...]
    llms: tuple[str, ...] | None
    projects: tuple[str, ...] | None
    limits: Limits
    created_at: float
    created_by: str
    expires_at: float | None
    revoked_at: float | None
    last_used_at: float | None
    revision: int
    prompt_policy: PromptPolicy | None = None
    llm_limits: Mapping[str, Limits] | None = None
    former_hash: bytes | None = field(default=None, repr=False)
    former_until: float | None = None
    """Until when the key before the last rotation works beside the present one."""


@dataclass(frozen=True)
class Changed:
    """A key as it was and as it is."""

    before: StoredKey
    after: StoredKey


@dataclass(frozen=True)
class MadeKey:
    """A new key: `secret` is what its owner sends, and exists nowhere else.

    `before` is the key as it was, where it was rotated.
    """

    stored: StoredKey
    secret: str = field(repr=False)
    before: StoredKey | None = None


@dataclass(frozen=True)
class KeyPage:
    """Some keys, newest first; `next_cursor` is where the following page begins, None at the end."""

    keys: Sequence[StoredKey]
    next_cursor: str | None


@dataclass(frozen=True)
class Changes:
    """Keys that changed after some revision, and the revision that they lead to."""

    revision: int
    keys: Sequence[StoredKey]


def terms_of(key: StoredKey) -> NewKey:
    """The terms that a key has."""
    return NewKey(**{each.name: getattr(key, each.name) for each in fields(NewKey)})


def with_limits(terms: NewKey, limits: Limits) -> NewKey:
    """The same terms with other limits; what these say of unpriced llms holds for single llms too."""
    by_llm = terms.llm_limits and {
        name: replace(each, allow_unpriced=limits.allow_unpriced) for name, each in terms.llm_limits.items()
    }
    return replace(terms, limits=limits, llm_limits=by_llm)


def digest(secret: str) -> bytes:
    """What the database holds of a key."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


class Keys:
    """The keys in the database. Every method raises `DatabaseDown` when it cannot be reached."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def make(self, new: NewKey, created_by: str) -> MadeKey:
        """Make and store a key; the answer holds the only copy of its secret.

        Raises:
            BadRequest: it would have expired already.
        """
        now_us = self._now_us()
        _check_end(new, now_us)
        secret = PREFIX + secrets.token_urlsafe(32)
        row = _row(new, secret, created_by, now_us)
        revision = await self._database.write(lambda connection: _insert(connection, row))
        return MadeKey(_stored_from(row | {"revision": revision}), secret)

    async def page(self, limit: int, cursor: str | None = None) -> KeyPage:
        """Keys from newest to oldest, revoked and expired ones included, `limit` at a time.

        Raises:
            BadRequest: `cursor` is not one of ours.
        """
        query = select(keys).order_by(keys.c.created_at.desc(), keys.c.id.desc()).limit(limit + 1)
        if cursor is not None:
            created_at, key_id = _read_cursor(cursor)
            query = query.where(
                or_(
                    keys.c.created_at < created_at,
                    (keys.c.created_at == created_at) & (keys.c.id < key_id),
                )
            )
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        found = [_stored(row) for row in rows[:limit]]
        more = len(rows) > limit
        return KeyPage(found, f"{_us(found[-1].created_at)}.{found[-1].id}" if more else None)

    async def revoke(self, key_id: str) -> StoredKey:
        """Refuse this key from now on; every gate follows within its polling time. Idempotent.

        Raises:
            NotFound: there is no such key.
        """
        now_us = self._now_us()
        _check_id(key_id)
        return await self._database.write(lambda connection: _revoke(connection, key_id, now_us))

    async def one(self, key_id: str) -> StoredKey:
        """The key of this id.

        Raises:
            NotFound: there is no such key.
        """
        _check_id(key_id)
        return await self._database.read(lambda connection: _stored(_find(connection, key_id)))

    async def change(self, key_id: str, edit: Callable[[StoredKey], NewKey]) -> Changed:
        """Give a key other terms; `edit` makes them of what is, and what it raises leaves all as it was.

        Raises:
            NotFound: there is no such key.
            Conflict: it is revoked, which is for good.
            BadRequest: it would have expired already.
        """
        _check_id(key_id)
        now_us = self._now_us()

        def work(connection: Connection) -> Changed:
            before = _lock(connection, key_id)
            terms = edit(before)
            if terms.expires_at != before.expires_at:
                _check_end(terms, now_us)
            return Changed(before, _store(connection, key_id, _terms(terms)))

        return await self._database.write(work)

    async def rotate(
        self, key_id: str, overlap_s: float, permit: Callable[[StoredKey], None] = lambda _: None
    ) -> MadeKey:
        """A new secret for a key; the one before works for `overlap_s` more, and any before that ends now.

        Id, terms and what is spent of them stay. What `permit` raises leaves all as it was.

        Raises:
            NotFound, Conflict: as `change`.
        """
        _check_id(key_id)
        secret = PREFIX + secrets.token_urlsafe(32)
        until_us = self._now_us() + _us(overlap_s)

        def work(connection: Connection) -> MadeKey:
            before = _lock(connection, key_id)
            permit(before)
            kept = overlap_s > 0
            values = {
                "key_hash": digest(secret),
                "hint": secret[-4:],
                "former_hash": before.key_hash if kept else None,
                "former_until": until_us if kept else None,
            }
            return MadeKey(_store(connection, key_id, values), secret, before)

        return await self._database.write(work)

    async def put_back(self, before: StoredKey) -> None:
        """Undo a change or a rotation of which nobody has been told."""
        former_us = None if before.former_until is None else _us(before.former_until)
        values = {
            "key_hash": before.key_hash,
            "hint": before.hint,
            "former_hash": before.former_hash,
            "former_until": former_us,
            **_terms(before),
        }
        await self._database.write(lambda connection: _store(connection, before.id, values))

    async def changes(self, after: int | None) -> Changes:
        """What changed after revision `after`; with None, every key worth knowing at a start."""
        cutoff_us = self._now_us() - _KEPT_REVOKED_US
        return await self._database.read(lambda connection: _changes(connection, after, cutoff_us))

    async def mark_used(self, used_at: Mapping[str, float]) -> None:
        """Note when keys were last used (key id to Unix seconds); never moves a time back."""
        if not used_at:
            return
        rows = [{"key_id": key_id, "used_us": _us(at)} for key_id, at in sorted(used_at.items())]
        await self._database.write(lambda connection: _mark(connection, rows))

    def _now_us(self) -> int:
        return _us(self._clock.time())


def _row(new: NewKey, secret: str, created_by: str, now_us: int) -> dict[str, Any]:
    return {
        "id": "key_" + secrets.token_hex(8),
        "key_hash": digest(secret),
        "hint": secret[-4:],
        "former_hash": None,
        "former_until": None,
        **_terms(new),
        "created_at": now_us,
        "created_by": created_by,
        "revoked_at": None,
        "last_used_at": None,
    }


def _terms(new: NewKey | StoredKey) -> dict[str, Any]:
    return {
        "name": new.name,
        "scopes": list(new.scopes),
        "llms": None if new.llms is None else list(new.llms),
        "projects": None if new.projects is None else list(new.projects),
        "requests_per_minute": new.limits.requests_per_minute,
        "tokens_per_minute": new.limits.tokens_per_minute,
        "max_concurrent": new.limits.max_concurrent,
        "budget_day_microusd": new.limits.budget_day_microusd,
        "budget_month_microusd": new.limits.budget_month_microusd,
        "allow_unpriced": new.limits.allow_unpriced,
        "prompt_policy": new.prompt_policy,
        "llm_limits": stored_by_llm(new.llm_limits),
        "expires_at": None if new.expires_at is None else _us(new.expires_at),
    }


def _check_end(new: NewKey, now_us: int) -> None:
    if new.expires_at is not None and _us(new.expires_at) <= now_us:
        raise BadRequest("The key would have expired already; name a time to come.", param="expires_at")


def _check_id(key_id: str) -> None:
    if not _KEY_ID.fullmatch(key_id):
        raise _no_key(key_id)


def _find(connection: Connection, key_id: str) -> Row[Any]:
    row = connection.execute(select(keys).where(keys.c.id == key_id)).one_or_none()
    if row is None:
        raise _no_key(key_id)
    return row


def _lock(connection: Connection, key_id: str) -> StoredKey:
    """A key that is about to be changed, and that nobody else changes meanwhile."""
    _next_revision(connection)  # locks its row first, as everywhere: no two writers wait for each other
    before = _stored(_find(connection, key_id))
    if before.revoked_at is not None:
        raise Conflict(f"{key_id} is revoked, for good; make another key.", param="id")
    return before


def _store(connection: Connection, key_id: str, values: Mapping[str, Any]) -> StoredKey:
    revision = _next_revision(connection)
    connection.execute(update(keys).where(keys.c.id == key_id).values(**values, revision=revision))
    return _stored(_find(connection, key_id))


def _insert(connection: Connection, row: Mapping[str, Any]) -> int:
    revision = _next_revision(connection)
    connection.execute(insert(keys).values(**row, revision=revision))
    return revision


def _revoke(connection: Connection, key_id: str, now_us: int) -> StoredKey:
    # The revision's row is locked first, here as in `_insert`: no two writers wait for each other.
    revision = _next_revision(connection)
    connection.execute(
        update(keys)
        .where(keys.c.id == key_id, keys.c.revoked_at.is_(None))
        .values(revoked_at=now_us, revision=revision)
    )
    return _stored(_find(connection, key_id))


def _no_key(key_id: str) -> NotFound:
    return NotFound(f"There is no key {key_id[:80]!r}; GET /admin/keys lists them.", param="id")


def _next_revision(connection: Connection) -> int:
    connection.execute(update(key_revision).values(value=key_revision.c.value + 1))
    return _revision(connection)


def _revision(connection: Connection) -> int:
    value: int = connection.execute(select(key_revision.c.value)).scalar_one()
    return value


def _changes(connection: Connection, after: int | None, cutoff_us: int) -> Changes:
    revision = _revision(connection)
    if revision == after:
        return Changes(revision, ())
    if after is None or revision < after:
        # A revision that went back is another database (a restored one, say): begin anew.
        wanted = or_(keys.c.revoked_at.is_(None), keys.c.revoked_at > cutoff_us)
    else:
        wanted = keys.c.revision > after
    query = select(keys).where(wanted, keys.c.revision <= revision).execution_options(yield_per=_AT_A_TIME)
    # What many keys have in common is held once: a start may read a hundred thousand of them.
    common: dict[object, Any] = {}
    return Changes(revision, [_sharing(_stored(row), common) for row in connection.execute(query)])


def _sharing(key: StoredKey, common: dict[object, Any]) -> StoredKey:
    """The key with those of its parts that are in `common` already; the others join them."""
    alike = {name: getattr(key, name) for name in ("limits", "scopes", "llms", "projects", "created_by")}
    return replace(key, **{name: common.setdefault(part, part) for name, part in alike.items()})


def _mark(connection: Connection, rows: Iterable[Mapping[str, object]]) -> None:
    used = bindparam("used_us", type_=BigInteger)
    connection.execute(
        update(keys)
        .where(keys.c.id == bindparam("key_id"), func.coalesce(keys.c.last_used_at, 0) < used)
        .values(last_used_at=used),
        list(rows),
    )


def _stored(row: Row[Any]) -> StoredKey:
    return _stored_from(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for a row as a mapping


def _stored_from(row: Mapping[Any, Any]) -> StoredKey:
    limits = Limits(
        requests_per_minute=row["requests_per_minute"],
        tokens_per_minute=row["tokens_per_minute"],
        max_concurrent=row["max_concurrent"],
        budget_day_microusd=row["budget_day_microusd"],
        budget_month_microusd=row["budget_month_microusd"],
        allow_unpriced=row["allow_unpriced"],
    )
    return StoredKey(
        id=row["id"],
        key_hash=bytes(row["key_hash"]),
        hint=row["hint"],
        name=row["name"],
        scopes=tuple(row["scopes"]),
        llms=None if row["llms"] is None else tuple(row["llms"]),
        projects=None if row["projects"] is None else tuple(row["projects"]),
        limits=limits,
        created_at=row["created_at"] / 1e6,
        created_by=row["created_by"],
        expires_at=_seconds(row["expires_at"]),
        revoked_at=_seconds(row["revoked_at"]),
        last_used_at=_seconds(row["last_used_at"]),
        revision=row["revision"],
        prompt_policy=row["prompt_policy"],
        llm_limits=restored_by_llm(row["llm_limits"], limits),
        former_hash=None if row["former_hash"] is None else bytes(row["former_hash"]),
        former_until=_seconds(row["former_until"]),
    )


def _read_cursor(cursor: str) -> tuple[int, str]:
    created_at, dot, key_id = cursor.partition(".")
    whole = dot and created_at.isascii() and created_at.isdigit() and len(created_at) <= 18
    if not (whole and _KEY_ID.fullmatch(key_id)):
        raise BadRequest("This cursor is not one that was given out; begin without one.", param="cursor")
    return int(created_at), key_id


def _us(seconds: float) -> int:
    return round(seconds * 1e6)


def _seconds(us: int | None) -> float | None:
    return None if us is None else us / 1e6
