"""A key as it is shown to whoever manages keys, and as the audit log keeps it: everything but its secret."""

from datetime import UTC, datetime

from tristar.auth.keys import StoredKey
from tristar.auth.terms import shown, shown_by_llm


def trail(key: StoredKey) -> dict[str, object]:
    """What the audit log keeps of a key, whichever way it was made or changed."""
    return {
        "key_id": key.id,
        "name": key.name,
        "scopes": list(key.scopes),
        "expires_at": moment(key.expires_at),
        "prompt_policy": key.prompt_policy,
    }


def outline(key: StoredKey) -> dict[str, object]:
    """A key as `/admin/keys` and `tristar keys --json` show it."""
    return {
        "id": key.id,
        "name": key.name,
        "hint": key.hint,
        "scopes": key.scopes,
        "llms": key.llms,
        "projects": key.projects,
        **shown(key.limits),
        "allow_unpriced": key.limits.allow_unpriced,
        "llm_limits": shown_by_llm(key.llm_limits),
        "prompt_policy": key.prompt_policy,
        "created_at": moment(key.created_at),
        "created_by": key.created_by,
        "expires_at": moment(key.expires_at),
        "revoked_at": moment(key.revoked_at),
        "last_used_at": moment(key.last_used_at),
        "former_until": moment(key.former_until),
    }


def moment(seconds: float | None) -> str | None:
    """Seconds since the epoch as RFC 3339 in UTC."""
    return (
        None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
    )
