"""One setting as a row, and the ranges that rows of several tables share."""

from dataclasses import MISSING, dataclass, fields
from typing import Final

from tristar.settings.kinds import Kind, Number

DAY_S: Final = 86_400.0
OBJECTIVE: Final = Number(0.94, 0.99999)
"""Below 0.94 the steepest burn-rate alert (14.4 times the budget) would ask for more than everything."""


@dataclass(frozen=True)
class Row:
    """One setting: `field` of `owner`, read from the variable or TOML key `name`.

    `default_text` replaces the dataclass default in the reference page where the default is
    worked out at start. The value of a `secret` row is in no message.
    """

    name: str
    owner: type
    field: str
    kind: Kind
    meaning: str
    default_text: str | None = None
    secret: bool = False

    @property
    def default(self) -> object:
        """The default of the field that this row fills; None where it has none."""
        default = next(each.default for each in fields(self.owner) if each.name == self.field)
        return None if default is MISSING else default
