"""What the commands of `tristar keys` take alike: ids, names, policies."""

from tristar.cli.endings import Misused
from tristar.cli.recording import Recorder, refuse_stranger
from tristar.exchange import PROMPT_POLICIES, PromptPolicy
from tristar.settings import Settings

_NAME_CHARS = 128


def recorder_of(settings: Settings) -> Recorder:
    """Where the command records what it does."""
    refuse_stranger(settings.audit.dir)
    return Recorder(settings, make=True)


def key_id_of(text: str) -> str:
    """The id of a key.

    Raises:
        Misused: it is something else, the key itself perhaps, which is not repeated.
    """
    if not text.startswith("key_"):
        raise Misused("Give the key's id (key_…, see `tristar keys list`), never the key itself.")
    return text


def policy(text: str | None) -> PromptPolicy | None:
    """The policy of that name. Raises `Misused`."""
    for each in PROMPT_POLICIES:
        if text == each:
            return each
    if text is None:
        return None
    raise Misused(f"--prompts = {text[:80]!r}: use one of {', '.join(PROMPT_POLICIES)}.")


def printable(text: str, flag: str) -> str:
    """A name as the API takes it. Raises `Misused`."""
    if not text or len(text) > _NAME_CHARS or not text.isprintable() or text != text.strip():
        raise Misused(
            f"{flag} = {text[:80]!r}: use 1 to {_NAME_CHARS} printable characters, no space at either end."
        )
    return text
