"""How commands end when something is wrong: one line on standard error and the right exit code."""

from collections.abc import Iterator
from contextlib import contextmanager

from tristar.audit.outfile import ExportRefused
from tristar.audit.signing import KeyInvalid
from tristar.audit.verify import NothingToVerify
from tristar.cli.configuration import refuse
from tristar.cli.terminal import FAILED, WRONG, fail
from tristar.errors import BadRequest, NotFound, SettingsInvalid, TriStarError

_GUIDE = "docs/audit.md: Who may run these commands"


class Misused(TriStarError):
    """The command was asked for something that cannot be; nothing was done. Ends it with exit code 2."""


@contextmanager
def plain_errors() -> Iterator[None]:
    """Within this block an error of ours or of the system ends the command; a defect still shows itself.

    A reader that leaves early (`| head`) is not an error.
    """
    try:
        yield
    except SettingsInvalid as invalid:
        refuse(invalid)
    except (Misused, NothingToVerify, ExportRefused, KeyInvalid, BadRequest, NotFound) as error:
        fail(str(error), WRONG)
    except TriStarError as error:
        fail(str(error), FAILED)
    except BrokenPipeError:
        raise
    except PermissionError as error:
        fail(f"{said(error)}. Run this as the user of the gateway ({_GUIDE}).", WRONG)
    except OSError as error:
        fail(said(error), FAILED)


def said(error: OSError) -> str:
    """What the system said, without its number."""
    reason = error.strerror or str(error)
    return reason if error.filename is None else f"{error.filename}: {reason}"
