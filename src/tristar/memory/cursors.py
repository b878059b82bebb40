"""Where the next page begins, as an opaque string that fits one query of one caller alone."""

import base64
import binascii
import hashlib

import msgspec

from tristar.errors import BadRequest
from tristar.memory.entry import Caller, Query

_LARGEST = 2**63 - 1


class _Cursor(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    position: int
    query: str


def write(query: Query, caller: Caller, position: int) -> str:
    """The cursor for `position` (a sequence number or an offset) in the answer to `query`."""
    packed = msgspec.json.encode(_Cursor(position, _fingerprint(query, caller)))
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def read(query: Query, caller: Caller) -> int:
    """The position that `query.cursor` names.

    Raises:
        BadRequest: it was not given out for this query.
    """
    given = query.cursor or ""
    try:
        packed = base64.b64decode(given + "=" * (-len(given) % 4), b"-_", validate=True)
        cursor = msgspec.json.decode(packed, type=_Cursor)
    except (binascii.Error, ValueError, msgspec.DecodeError) as error:
        raise _foreign() from error
    if cursor.query != _fingerprint(query, caller) or not 0 <= cursor.position <= _LARGEST:
        raise _foreign()
    return cursor.position


def _fingerprint(query: Query, caller: Caller) -> str:
    projects = None if caller.projects is None else sorted(caller.projects)
    told = (
        query.words,
        query.any_word,
        query.type,
        query.project,
        sorted(query.tags),
        query.min_confidence,
        query.subject,
        projects,
        query.mode if query.meaning is not None else None,
        query.meaning.model if query.meaning is not None else "",
    )
    return hashlib.sha256(msgspec.json.encode(told)).hexdigest()[:16]


def _foreign() -> BadRequest:
    return BadRequest("This cursor was not given out for this query; begin without one.", param="cursor")
