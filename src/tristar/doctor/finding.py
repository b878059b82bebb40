"""What was found, and what to do about it."""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["good", "doubtful", "bad"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `fix` is empty where there is nothing to mend; no secret is in here."""

    subject: str
    verdict: Verdict
    told: str
    fix: str = ""


def good(subject: str, told: str) -> Finding:
    """All is well."""
    return Finding(subject, "good", told)


def doubtful(subject: str, told: str, fix: str) -> Finding:
    """It works, and will not always; or it could not be found out."""
    return Finding(subject, "doubtful", told, fix)


def bad(subject: str, told: str, fix: str) -> Finding:
    """It does not work."""
    return Finding(subject, "bad", told, fix)
