"""`tristar keys update` and `rotate`: a key's terms, and the key itself, changed while it is in use."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from tristar.auth.actor import Limits
from tristar.auth.scopes import SCOPES, parse
from tristar.cli.configuration import ConfigOption, JsonOption, settings_or_refuse
from tristar.cli.endings import Misused, plain_errors
from tristar.cli.keylimits import (
    ConcurrentOption,
    DayBudgetOption,
    LlmLimitOption,
    MonthBudgetOption,
    RequestsOption,
    TokensOption,
    limits_by_llm,
    limits_of,
)
from tristar.cli.keynames import key_id_of, policy, printable, recorder_of
from tristar.cli.lines import shown
from tristar.cli.moments import future, length_s
from tristar.cli.terminal import print_json
from tristar.clock import SystemClock

if TYPE_CHECKING:
    from tristar.auth.keys import NewKey, StoredKey

_LIMITS = {
    "requests_per_minute": "requests_per_minute",
    "tokens_per_minute": "tokens_per_minute",
    "max_concurrent": "max_concurrent",
    "budget_usd_per_day": "budget_day_microusd",
    "budget_usd_per_month": "budget_month_microusd",
}
_CLEARED = ("llms", "projects", "llm_limits", "expires_at", "prompt_policy")
CLEARABLE = (*_CLEARED, *_LIMITS)

KeyId = Annotated[str, typer.Argument(metavar="ID", help="As `tristar keys list` has it: key_…")]


def update(
    *,
    key_id: KeyId,
    name: Annotated[str | None, typer.Option("--name", metavar="N", help="For people.")] = None,
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", metavar="S", help=f"{', '.join(SCOPES)}. Repeatable; in place of all."),
    ] = None,
    llm: Annotated[
        list[str] | None,
        typer.Option("--llm", metavar="L", help="An llm it may use. Repeatable."),
    ] = None,
    project: Annotated[
        list[str] | None,
        typer.Option("--project", metavar="P", help="A memory project it sees. Repeatable."),
    ] = None,
    requests_per_minute: RequestsOption = None,
    tokens_per_minute: TokensOption = None,
    max_concurrent: ConcurrentOption = None,
    budget_usd_per_day: DayBudgetOption = None,
    budget_usd_per_month: MonthBudgetOption = None,
    allow_unpriced: Annotated[
        bool | None,
        typer.Option("--allow-unpriced/--refuse-unpriced", help="Under a budget: llms without a price."),
    ] = None,
    llm_limit: LlmLimitOption = None,
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="T", help="When it ends: 90d, or 2027-01-31.")
    ] = None,
    prompts: Annotated[
        str | None, typer.Option("--prompts", metavar="P", help="Its prompts in the audit log.")
    ] = None,
    clear: Annotated[
        list[str] | None,
        typer.Option("--clear", metavar="FIELD", help=f"Take away: {', '.join(CLEARABLE)}. Repeatable."),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change what a key may do: it holds everywhere within 2 s. What is not named stays."""
    settings = settings_or_refuse(config)
    with plain_errors():
        from tristar.cli import keyring  # noqa: PLC0415 - the database is heavy

        ends = future(expires, "--expires", SystemClock())
        values: dict[str, object] = {
            "name": None if name is None else printable(name, "--name"),
            "scopes": parse(scope) if scope else None,
            "llms": tuple(printable(each, "--llm") for each in llm) if llm else None,
            "projects": tuple(printable(each, "--project") for each in project) if project else None,
            "llm_limits": limits_by_llm(llm_limit, allow_unpriced=False),
            "expires_at": ends.timestamp() if ends else None,
            "prompt_policy": policy(prompts),
        }
        figures = {
            "requests_per_minute": requests_per_minute,
            "tokens_per_minute": tokens_per_minute,
            "max_concurrent": max_concurrent,
            "budget_usd_per_day": budget_usd_per_day,
            "budget_usd_per_month": budget_usd_per_month,
        }
        change = _Change(values, figures, allow_unpriced, clear or ())
        stored = keyring.change(settings, recorder_of(settings), key_id_of(key_id), change.edit, change.told)
    if as_json:
        print_json(keyring.outline(stored))
    else:
        typer.echo(f"{stored.id} ({shown(stored.name)}) is changed: {', '.join(sorted(change.told))}.")


def rotate(
    *,
    key_id: KeyId,
    overlap: Annotated[
        str, typer.Option("--overlap", metavar="T", help="How long the present key works on: 1h, 7d, 0s.")
    ] = "1h",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replace a key and print the new one, this once; the present one works on for --overlap.

    Id, terms and budgets stay. A key that overlapped before ends now.
    """
    settings = settings_or_refuse(config)
    with plain_errors():
        from tristar.cli import keyring  # noqa: PLC0415 - the database is heavy

        overlap_s = length_s(overlap, "--overlap", most_s=30 * 86_400)
        made = keyring.rotate(settings, recorder_of(settings), key_id_of(key_id), overlap_s)
    if as_json:
        print_json(keyring.outline(made.stored) | {"key": made.secret})
        return
    key = made.stored
    until = "works no more" if not overlap_s else f"works until {keyring.moment(key.former_until)}"
    typer.echo(made.secret)
    typer.echo(f"{key.id} ({shown(key.name)}): the former key {until}. It is shown this once only.", err=True)


class _Change:
    """What the options say is to be different; `told` names it."""

    def __init__(
        self,
        values: dict[str, object],
        figures: dict[str, str | None],
        allow_unpriced: bool | None,
        clear: "list[str] | tuple[()]",
    ) -> None:
        for field in clear:
            if field not in CLEARABLE:
                raise Misused(f"--clear = {field[:40]!r}: use one of {', '.join(CLEARABLE)}.")
            if values.get(field) is not None or figures.get(field) is not None:
                raise Misused(f"--clear {field}: it is set by another option; use one of the two.")
        self._values = {field: value for field, value in values.items() if value is not None}
        self._values |= dict.fromkeys(field for field in clear if field in _CLEARED)
        self._limits = limits_of(figures, allow_unpriced=bool(allow_unpriced))
        told = {field for field, figure in figures.items() if figure is not None} | set(clear) & set(_LIMITS)
        self._of_limits = [_LIMITS[field] for field in told]
        if allow_unpriced is not None:
            self._of_limits.append("allow_unpriced")
            told.add("allow_unpriced")
        self.told = [*self._values, *told]
        if not self.told:
            raise Misused("Say what is to change; `tristar keys update --help` lists it.")

    def edit(self, before: "StoredKey") -> "NewKey":
        """The terms after the change."""
        from tristar.auth.keys import terms_of, with_limits  # noqa: PLC0415 - the database is heavy

        after = replace(terms_of(before), **self._values)  # type: ignore[arg-type]  # by the names above
        changed = {name: getattr(self._limits, name) for name in self._of_limits}
        limits: Limits = replace(after.limits, **changed)
        return with_limits(after, limits)
