"""What a key may be allowed to do."""

from collections.abc import Iterable
from functools import cache
from typing import Final, Literal, get_args

from tristar.errors import BadRequest

Scope = Literal["chat", "memory:read", "memory:write", "metrics", "audit:read", "audit:admin", "admin"]

SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
ALL_SCOPES: Final[frozenset[Scope]] = frozenset(SCOPES)

_IMPLIED_BY_ADMIN: Final = ALL_SCOPES - {"audit:admin"}


def expand(granted: Iterable[Scope]) -> frozenset[Scope]:
    """`granted` and what it implies: `admin` stands for every scope but `audit:admin`."""
    return _expanded(frozenset(granted))


@cache
def _expanded(scopes: frozenset[Scope]) -> frozenset[Scope]:
    """One set for all keys of these scopes, of which there are few."""
    return scopes | _IMPLIED_BY_ADMIN if "admin" in scopes else scopes


def parse(names: Iterable[str]) -> tuple[Scope, ...]:
    """The scopes of these names, in the order of `SCOPES` and each once.

    Raises:
        BadRequest: a name is no scope, or there is none at all (`param` is `scopes`).
    """
    wanted = frozenset(names)
    unknown = sorted(wanted - ALL_SCOPES)
    if unknown:
        raise BadRequest(
            f"{unknown[0][:60]!r} is not a scope; there are: {', '.join(SCOPES)}.", param="scopes"
        )
    if not wanted:
        raise BadRequest(f"A key needs at least one scope of: {', '.join(SCOPES)}.", param="scopes")
    return tuple(scope for scope in SCOPES if scope in wanted)
