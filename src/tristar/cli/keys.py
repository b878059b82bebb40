"""`tristar keys`: API keys made, listed, changed, rotated and revoked in the database that `serve` uses."""

from typing import Annotated

import typer

from tristar.auth.scopes import SCOPES, parse
from tristar.cli.configuration import ConfigOption, JsonOption, settings_or_refuse
from tristar.cli.endings import plain_errors
from tristar.cli.keychange import rotate, update
from tristar.cli.keylimits import (
    ConcurrentOption,
    DayBudgetOption,
    LlmLimitOption,
    MonthBudgetOption,
    RequestsOption,
    TokensOption,
    UnpricedOption,
    limits_by_llm,
    limits_of,
)
from tristar.cli.keynames import key_id_of, policy, printable, recorder_of
from tristar.cli.lines import print_whole, shown
from tristar.cli.moments import future
from tristar.cli.terminal import print_json
from tristar.clock import SystemClock
from tristar.exchange import PROMPT_POLICIES

app = typer.Typer(help="API keys.", no_args_is_help=True)

app.command()(update)
app.command()(rotate)


@app.command()
def create(
    *,
    name: Annotated[str, typer.Option("--name", metavar="N", help="For people: whose key, what for.")],
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", metavar="S", help=f"{', '.join(SCOPES)}. Repeatable; default chat."),
    ] = None,
    llm: Annotated[
        list[str] | None,
        typer.Option("--llm", metavar="L", help="An llm it may use, or provider/*. Repeatable; default all."),
    ] = None,
    project: Annotated[
        list[str] | None,
        typer.Option("--project", metavar="P", help="A memory project it sees. Repeatable; default all."),
    ] = None,
    requests_per_minute: RequestsOption = None,
    tokens_per_minute: TokensOption = None,
    max_concurrent: ConcurrentOption = None,
    budget_usd_per_day: DayBudgetOption = None,
    budget_usd_per_month: MonthBudgetOption = None,
    allow_unpriced: UnpricedOption = False,
    llm_limit: LlmLimitOption = None,
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="T", help="When it ends: 90d, or 2027-01-31.")
    ] = None,
    prompts: Annotated[
        str | None,
        typer.Option(
            "--prompts",
            metavar="P",
            help=f"Its prompts in the audit log: {', '.join(PROMPT_POLICIES)}. Default: as the llm.",
        ),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key and print it, this once: only its hash is stored."""
    settings = settings_or_refuse(config)
    with plain_errors():
        from tristar.auth.keys import NewKey  # noqa: PLC0415 - the database is heavy
        from tristar.cli import keyring  # noqa: PLC0415 - the same

        ends = future(expires, "--expires", SystemClock())
        told = {
            "requests_per_minute": requests_per_minute,
            "tokens_per_minute": tokens_per_minute,
            "max_concurrent": max_concurrent,
            "budget_usd_per_day": budget_usd_per_day,
            "budget_usd_per_month": budget_usd_per_month,
        }
        new = NewKey(
            name=printable(name, "--name"),
            scopes=parse(scope or ["chat"]),
            llms=tuple(printable(each, "--llm") for each in llm) if llm else None,
            projects=tuple(printable(each, "--project") for each in project) if project else None,
            limits=limits_of(told, allow_unpriced=allow_unpriced),
            llm_limits=limits_by_llm(llm_limit, allow_unpriced=allow_unpriced),
            expires_at=ends.timestamp() if ends else None,
            prompt_policy=policy(prompts),
        )
        made = keyring.make(settings, recorder_of(settings), new)
    if as_json:
        print_json(keyring.outline(made.stored) | {"key": made.secret})
        return
    key = made.stored
    until = "" if key.expires_at is None else f", until {keyring.moment(key.expires_at)}"
    typer.echo(made.secret)
    typer.echo(
        f"{key.id} ({shown(key.name)}): {', '.join(key.scopes)}{until}. It is shown this once only.", err=True
    )
    if settings.auth.admin_key is None:
        typer.echo("From now on every request needs a key; one with --scope admin opens /admin.", err=True)


@app.command("list")
def list_(*, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the keys, newest first, revoked and expired ones included."""
    from tristar.cli import keyring  # noqa: PLC0415 - the database is heavy

    settings = settings_or_refuse(config)
    with plain_errors():
        found = keyring.every(settings)
    if as_json:
        print_json({"data": [keyring.outline(key) for key in found]})
        return
    if not found:
        where = "the database" if settings.database_url else settings.data_dir
        typer.echo(f"No key has been made in {where}.", err=True)
    rows = [
        (
            key.id,
            shown(key.name),
            f"…{key.hint}",
            keyring.state(key, SystemClock.time()),
            ",".join(key.scopes),
            "all" if key.llms is None else shown(",".join(key.llms)),
            keyring.moment(key.created_at) or "",
            keyring.moment(key.last_used_at) or "never",
        )
        for key in found
    ]
    print_whole(("ID", "NAME", "HINT", "STATE", "SCOPES", "LLMS", "CREATED", "LAST USED"), rows)


@app.command()
def revoke(
    *,
    key_id: Annotated[str, typer.Argument(metavar="ID", help="As `tristar keys list` has it: key_…")],
    config: ConfigOption = None,
) -> None:
    """Revoke a key: a running gateway refuses it within 2 s. Doing so again changes nothing."""
    from tristar.cli import keyring  # noqa: PLC0415 - the database is heavy

    settings = settings_or_refuse(config)
    with plain_errors():
        stored = keyring.revoke(settings, recorder_of(settings), key_id_of(key_id))
    typer.echo(f"{stored.id} ({shown(stored.name)}) is revoked since {keyring.moment(stored.revoked_at)}.")
