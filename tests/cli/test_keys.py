"""`tristar keys`: made, listed, revoked, and recorded each time."""

import datetime as dt
import json
import time
from pathlib import Path

import pytest
from tests.cli.logs import AUDIT, DATA, enter, records, run
from tests.gateway import Gateway
from tests.gateway.fixtures import StartGateway

from tristar.cli import recording
from tristar.errors import AuditUnavailable


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command runs in an empty directory."""
    enter(tmp_path, monkeypatch)


def test_create_prints_the_key_alone_and_records_it() -> None:
    """Standard output is the key, for a script to take; the log has everything but it."""
    result = run("keys", "create", "--name", "night shift", "--scope", "chat", "--scope", "metrics")

    secret = result.stdout.strip()
    assert (result.exit_code, result.stdout) == (0, f"{secret}\n")
    assert secret.startswith("tsk_")
    (made,) = records()
    assert (made["action"], made["details"]["scopes"]) == ("key_created", ["chat", "metrics"])
    assert made["user_id"].startswith("os:")
    assert secret.encode() not in b"".join(path.read_bytes() for path in Path().rglob("*") if path.is_file())


def test_create_prints_json_as_the_admin_route_answers() -> None:
    """`id` and `key`, and what was asked for."""
    result = run("keys", "create", "--name", "a", "--llm", "fast", "--llm", "groq/*", "--json")

    made = json.loads(result.stdout)
    assert made["id"].startswith("key_")
    assert made["key"].startswith("tsk_")
    assert (made["scopes"], made["llms"], made["expires_at"]) == (["chat"], ["fast", "groq/*"], None)


def test_expires_counts_from_now_or_names_a_moment() -> None:
    """`90d` is ninety days; an ISO time is itself."""
    relative = json.loads(run("keys", "create", "--name", "a", "--expires", "90d", "--json").stdout)
    absolute = json.loads(
        run("keys", "create", "--name", "b", "--expires", "2099-01-31T08:00:00+01:00", "--json").stdout
    )

    ahead = dt.datetime.fromisoformat(relative["expires_at"]) - dt.datetime.now(dt.UTC)
    assert dt.timedelta(days=89, hours=23) < ahead <= dt.timedelta(days=90)
    assert absolute["expires_at"] == "2099-01-31T07:00:00Z"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("create",), "--name"),
        (("create", "--name", " a"), "--name"),
        (("create", "--name", "a", "--scope", "root"), "root"),
        (("create", "--name", "a", "--llm", ""), "--llm"),
        (("create", "--name", "a", "--expires", "soon"), "soon"),
        (("create", "--name", "a", "--expires", "2020-01-01"), "expired"),
        (("revoke", "tsk_secret"), "never the key itself"),
        (("revoke", "key_0000000000000000"), "no key"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_use_exits_2_and_records_nothing(arguments: tuple[str, ...], named: str) -> None:
    """What is wrong is named on standard error; the secret that was typed is not."""
    result = run("keys", *arguments)

    assert (result.exit_code, result.stdout) == (2, "")
    assert named in result.stderr
    assert "tsk_secret" not in result.stderr
    assert not AUDIT.exists()


def test_list_shows_every_key_and_its_state() -> None:
    """Newest first, revoked ones included, none of them with its key."""
    first = json.loads(run("keys", "create", "--name", "first", "--json").stdout)
    run("keys", "create", "--name", "second")
    run("keys", "revoke", first["id"])

    rows = [line.split("\t") for line in run("keys", "list").stdout.splitlines()]
    data = json.loads(run("keys", "list", "--json").stdout)["data"]

    assert [(row[1], row[3].split()[0]) for row in rows] == [("second", "active"), ("first", "revoked")]
    assert [key["name"] for key in data] == ["second", "first"]
    assert all("key" not in key and "key_hash" not in key for key in data)


def test_list_of_nothing_makes_nothing() -> None:
    """In the wrong directory no database is left behind."""
    result = run("keys", "list")

    assert (result.exit_code, result.stdout) == (0, "")
    assert str(DATA) in result.stderr
    assert not DATA.exists()


def test_revoke_is_recorded_and_may_be_repeated() -> None:
    """The first time counts; the second is no error."""
    made = json.loads(run("keys", "create", "--name", "a", "--json").stdout)

    first, second = run("keys", "revoke", made["id"]), run("keys", "revoke", made["id"])

    assert (first.exit_code, second.exit_code, first.stdout) == (0, 0, second.stdout)
    assert [record["action"] for record in records()] == ["key_created", "key_revoked", "key_revoked"]


class Refusing(recording.Recorder):
    """A recorder whose log takes nothing."""

    async def record(self, *arguments: object, **more: object) -> None:
        """Refuse."""
        raise AuditUnavailable("the disk is full")


def test_a_key_that_cannot_be_recorded_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 1, no key printed, and what was stored is revoked."""
    monkeypatch.setattr("tristar.cli.keynames.Recorder", Refusing)

    result = run("keys", "create", "--name", "a")

    assert (result.exit_code, result.stdout) == (1, "")
    assert "the disk is full" in result.stderr
    assert [
        key["revoked_at"] is None for key in json.loads(run("keys", "list", "--json").stdout)["data"]
    ] == [False]


def test_a_key_is_revoked_even_if_that_cannot_be_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stolen key must not work on because a disk is full; exit 1 says what is missing."""
    made = json.loads(run("keys", "create", "--name", "a", "--json").stdout)
    monkeypatch.setattr("tristar.cli.keynames.Recorder", Refusing)

    result = run("keys", "revoke", made["id"])

    assert result.exit_code == 1
    assert "is revoked, but" in result.stderr
    assert json.loads(run("keys", "list", "--json").stdout)["data"][0]["revoked_at"] is not None


def test_a_database_that_cannot_be_reached_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """DATABASE_URL is used as `serve` uses it; its password is not shown."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:hunter22@127.0.0.1:1/x")

    result = run("keys", "list")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 1
    assert "hunter22" not in result.stderr


def test_a_running_gateway_follows_what_the_command_line_does(
    gateway: StartGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first key closes the access; a revoked one is refused within 2 s, and so is the next one."""
    running = gateway()
    enter(running.folder, monkeypatch)
    monkeypatch.setenv("AUDIT_LOG_DIR", str(running.audit_folder))
    statuses = []
    for name in ("a", "b"):
        made = json.loads(run("keys", "create", "--name", name, "--json").stdout)
        bearer = {"Authorization": f"Bearer {made['key']}"}
        statuses.append(running.request("GET", "/v1/models", headers=bearer).status_code)
        run("keys", "revoke", made["id"])
        statuses.append(_settled_status(running, bearer, 401, within_s=2.0))

    assert statuses == [200, 401, 200, 401]
    assert running.request("GET", "/v1/models").status_code == 401


def _settled_status(running: Gateway, headers: dict[str, str], wanted: int, within_s: float) -> int:
    """The status of a request, asked again until it is the one wanted or the time is over."""
    until = time.monotonic() + within_s
    while True:
        status = running.request("GET", "/v1/models", headers=headers).status_code
        if status == wanted or time.monotonic() > until:
            return status
        time.sleep(0.05)


def test_create_takes_every_limit_that_the_admin_route_takes() -> None:
    """Under the same names, and shown as it shows them."""
    limits = {
        "requests_per_minute": 60,
        "tokens_per_minute": 9000,
        "max_concurrent": 4,
        "budget_usd_per_day": 1.5,
        "budget_usd_per_month": 20.0,
    }
    flags = [part for name, value in limits.items() for part in ("--" + name.replace("_", "-"), str(value))]
    on_llms = [
        "--llm-limit",
        "fast,requests_per_minute=10,budget_usd_per_day=0.5",
        "--llm-limit",
        "groq/*,max_concurrent=1",
    ]
    made = run(
        "keys", "create", "--name", "a", "--project", "blue", "--allow-unpriced", *flags, *on_llms, "--json"
    )
    listed = run("keys", "list", "--json")

    (key,) = json.loads(listed.stdout)["data"]
    assert made.exit_code == 0, made.stderr
    assert {name: key[name] for name in limits} == limits
    assert (key["projects"], key["allow_unpriced"]) == (["blue"], True)
    assert key["llm_limits"] == {
        "fast": {"requests_per_minute": 10, "budget_usd_per_day": 0.5},
        "groq/*": {"max_concurrent": 1},
    }


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (("--requests-per-minute", "0"), "--requests-per-minute"),
        (("--tokens-per-minute", "many"), "--tokens-per-minute"),
        (("--budget-usd-per-day", "nan"), "--budget-usd-per-day"),
        (("--budget-usd-per-month", "-1"), "--budget-usd-per-month"),
        (("--llm-limit", "fast"), "at least one limit"),
        (("--llm-limit", "fast,speed=3"), "limits are requests_per_minute"),
        (("--llm-limit", "fast,max_concurrent=0"), "fast: max_concurrent"),
        (("--llm-limit", ",max_concurrent=1"), "name an llm"),
        (("--llm-limit", "a,max_concurrent=1", "--llm-limit", "a,max_concurrent=2"), "each once"),
        (("--project", " "), "--project"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_limit_out_of_range_exits_2_and_makes_no_key(flags: tuple[str, ...], named: str) -> None:
    """The option is named, with what it takes."""
    result = run("keys", "create", "--name", "a", *flags)

    assert (result.exit_code, result.stdout) == (2, "")
    assert named in result.stderr
    assert not AUDIT.exists()


def test_update_changes_what_is_named_and_records_it() -> None:
    """The rest stays; `--clear` takes away; the record names the fields."""
    limits = ("--requests-per-minute", "5", "--budget-usd-per-day", "2", "--llm", "fast")
    made = json.loads(run("keys", "create", "--name", "a", *limits, "--json").stdout)
    options = ("--name", "b", "--clear", "llms", "--clear", "budget_usd_per_day", "--refuse-unpriced")
    result = run("keys", "update", made["id"], *options, "--json")

    del made["key"]
    wanted = {"name": "b", "llms": None, "budget_usd_per_day": None}
    assert json.loads(result.stdout) == made | wanted
    assert records()[-1]["action"] == "key_updated"
    assert records()[-1]["details"]["changed"] == sorted([*wanted, "allow_unpriced"])


def test_rotate_prints_the_new_key_alone() -> None:
    """As `create` does; the id stays, and the former key's end is told."""
    made = json.loads(run("keys", "create", "--name", "a", "--json").stdout)
    result = run("keys", "rotate", made["id"], "--overlap", "2d")
    again = json.loads(run("keys", "rotate", made["id"], "--overlap", "0s", "--json").stdout)

    assert result.stdout.startswith("tsk_")
    assert result.stdout.strip() != made["key"]
    assert "works until" in result.stderr
    assert (again["id"], again["former_until"]) == (made["id"], None)
    assert [record["details"].get("overlap_s") for record in records()] == [None, 172_800, 0]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("update", "key_0123456789abcdef"), "Say what"),
        (("update", "tsk_secret", "--name", "b"), "the key's id"),
        (("update", "key_0123456789abcdef", "--clear", "name"), "--clear"),
        (("update", "key_0123456789abcdef", "--clear", "llms", "--llm", "fast"), "--clear llms"),
        (("update", "key_0123456789abcdef", "--max-concurrent", "0"), "--max-concurrent"),
        (("rotate", "key_0123456789abcdef", "--overlap", "31d"), "--overlap"),
        (("rotate", "key_0123456789abcdef", "--overlap", "soon"), "--overlap"),
        (("rotate", "tsk_secret"), "the key's id"),
    ],
)
def test_wrong_use_of_update_and_rotate_exits_2(arguments: tuple[str, ...], named: str) -> None:
    """With the option at fault; a key in place of its id is not repeated."""
    run("keys", "create", "--name", "a")
    result = run("keys", *arguments)

    assert (result.exit_code, result.stdout) == (2, "")
    assert named in result.stderr
    assert "tsk_secret" not in result.stderr
    assert len(records()) == 1


def test_a_change_that_cannot_be_recorded_is_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 1; the key is as before, whether it was to be changed or rotated."""
    made = json.loads(run("keys", "create", "--name", "a", "--json").stdout)
    monkeypatch.setattr("tristar.cli.keynames.Recorder", Refusing)
    results = [run("keys", "update", made["id"], "--name", "b"), run("keys", "rotate", made["id"])]
    (now,) = json.loads(run("keys", "list", "--json").stdout)["data"]

    del made["key"]
    assert [(result.exit_code, result.stdout) for result in results] == [(1, "")] * 2
    assert all("Nothing was changed" in result.stderr for result in results)
    assert now == made
