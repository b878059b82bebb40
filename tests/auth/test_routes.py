"""`/admin/keys` over HTTP."""

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.storage.routes import Control, control_of

from tristar.auth.actor import ANONYMOUS, Actor
from tristar.auth.keys import Keys
from tristar.auth.scopes import expand
from tristar.clock import ManualClock
from tristar.edge import keys as routes
from tristar.errors import NoRecord


@pytest.fixture
def control(keys: Keys) -> Control:
    """The control routes with the keys, and what they record."""
    return control_of(lambda events: routes.router(keys, events))


async def test_a_key_is_made_shown_once_listed_and_revoked(control: Control, clock: ManualClock) -> None:
    """201 with the key, then never again; 204 at the end."""
    made = await control.ask("POST", "/admin/keys", {"name": "ci", "budget_usd_per_day": 0.5})
    listed = await control.ask("GET", "/admin/keys")
    revoked = await control.ask("DELETE", f"/admin/keys/{made.json['id']}")
    after = await control.ask("GET", "/admin/keys")
    secret = made.json.pop("key")

    assert (made.status, revoked.status, revoked.text) == (201, 204, "")
    assert secret.startswith("tsk_")
    assert listed.json == {"data": [made.json], "next_cursor": None}
    assert made.json["budget_usd_per_day"] == 0.5
    assert datetime.fromisoformat(made.json["created_at"]) == datetime.fromtimestamp(clock.time(), UTC)
    assert after.json["data"][0]["revoked_at"] is not None


async def test_making_and_revoking_are_recorded_without_the_key(control: Control) -> None:
    """Who did it is in the exchange; what was made, in the details."""
    made = await control.ask("POST", "/admin/keys", {"name": "ci"})
    await control.ask("DELETE", f"/admin/keys/{made.json['id']}")

    assert [(action, resource) for action, resource, _ in control.recorded] == [
        ("key_created", f"/admin/keys/{made.json['id']}"),
        ("key_revoked", f"/admin/keys/{made.json['id']}"),
    ]
    assert made.json["key"] not in repr(control.recorded)
    assert control.recorded[0][2]["scopes"] == ["chat"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "n", "scopes": ["root"]}, "scopes.0"),
        ({"name": "n", "scopes": []}, "scopes"),
        ({"name": "n", "scopes": "chat"}, "scopes"),
        ({"name": "n", "llms": []}, "llms"),
        ({"name": "n", "requests_per_minute": 0}, "requests_per_minute"),
        ({"name": "n", "requests_per_minute": "60"}, "requests_per_minute"),
        ({"name": "n", "tokens_per_minute": 10**30}, "tokens_per_minute"),
        ({"name": "n", "budget_usd_per_day": -1}, "budget_usd_per_day"),
        ({"name": "n", "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"name": "n", "expires_at": "2099-01-01T00:00:00"}, "expires_at"),
        ({"name": "n", "expires_at": "soon"}, "expires_at"),
        ({"name": "n", "id": "key_0"}, "id"),
        ({"name": "n", "created_by": "me"}, "created_by"),
    ],
)
async def test_a_bad_request_is_400_and_names_the_field(
    control: Control, body: dict[str, object], param: str
) -> None:
    """And makes no key."""
    refused = await control.ask("POST", "/admin/keys", body)

    assert (refused.status, refused.json["error"]["param"]) == (400, param)
    assert (await control.ask("GET", "/admin/keys")).json["data"] == []
    assert control.recorded == []


async def test_nobody_grants_what_they_do_not_have(control: Control) -> None:
    """`admin` does not hold `audit:admin`, so it cannot mint it."""
    control.actor = Actor("key_1", "n", expand(["admin"]))
    refused = await control.ask("POST", "/admin/keys", {"name": "n", "scopes": ["audit:admin"]})
    granted = await control.ask("POST", "/admin/keys", {"name": "n", "scopes": ["admin"]})

    assert (refused.status, refused.json["error"]["code"]) == (403, "insufficient_scope")
    assert (granted.status, granted.json["created_by"]) == (201, "key_1")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/admin/keys"),
        ("GET", "/admin/keys"),
        ("GET", "/admin/keys/key_0"),
        ("PATCH", "/admin/keys/key_0"),
        ("POST", "/admin/keys/key_0/rotate"),
        ("DELETE", "/admin/keys/key_0"),
    ],
)
async def test_every_route_needs_admin(control: Control, method: str, path: str) -> None:
    """Every other scope together is not enough."""
    control.actor = Actor("key_1", "n", ANONYMOUS.scopes - {"admin"})
    body = {} if path.endswith("rotate") else {"name": "n"} if method in {"POST", "PATCH"} else None

    assert (await control.ask(method, path, body)).status == 403


async def test_a_key_that_is_not_there_is_404(control: Control) -> None:
    """Whatever the id."""
    statuses = [
        (await control.ask("DELETE", f"/admin/keys/{key_id}")).status for key_id in ("key_0", "%00", "%ff")
    ]

    assert statuses == [404] * 3


async def test_pages_go_on_by_cursor(control: Control) -> None:
    """`next_cursor` is what the next request sends."""
    for number in range(3):
        await control.ask("POST", "/admin/keys", {"name": f"n{number}"})
    first = await control.ask("GET", "/admin/keys?limit=2")
    second = await control.ask("GET", f"/admin/keys?limit=2&cursor={first.json['next_cursor']}")

    assert [len(first.json["data"]), len(second.json["data"])] == [2, 1]
    assert second.json["next_cursor"] is None
    assert (await control.ask("GET", "/admin/keys?cursor=x")).status == 400


async def test_a_change_says_what_changed_and_leaves_the_rest(control: Control) -> None:
    """Named fields alone; `null` takes a limit away; the record names the fields."""
    made = (
        await control.ask(
            "POST",
            "/admin/keys",
            {
                "name": "ci",
                "requests_per_minute": 5,
                "budget_usd_per_day": 1.5,
                "llms": ["fast"],
                "llm_limits": {"fast": {"max_concurrent": 2}},
            },
        )
    ).json
    change = {"name": "cd", "requests_per_minute": None, "allow_unpriced": True, "prompt_policy": "none"}
    changed = await control.ask("PATCH", f"/admin/keys/{made['id']}", change)
    seen = await control.ask("GET", f"/admin/keys/{made['id']}")

    del made["key"]
    assert changed.status == 200
    assert changed.json == seen.json == made | change
    assert control.recorded[-1][0] == "key_updated"
    assert control.recorded[-1][2]["changed"] == sorted(change)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"name": None}, "name"),
        ({"scopes": None}, "scopes"),
        ({"scopes": []}, "scopes"),
        ({"allow_unpriced": None}, "allow_unpriced"),
        ({"llms": []}, "llms"),
        ({"name": " x"}, "name"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"id": "key_0"}, "id"),
        ({"key_hash": "00"}, "key_hash"),
        ({"created_by": "me"}, "created_by"),
        ({"revoked_at": None}, "revoked_at"),
        ({"last_used_at": None}, "last_used_at"),
        ({"former_until": "2099-01-01T00:00:00Z"}, "former_until"),
    ],
)
async def test_a_change_that_is_none_is_400_and_names_the_field(
    control: Control, body: dict[str, object], param: str
) -> None:
    """And changes nothing, nor can what the gateway keeps of a key be written."""
    made = (await control.ask("POST", "/admin/keys", {"name": "ci"})).json
    refused = await control.ask("PATCH", f"/admin/keys/{made['id']}", body)

    del made["key"]
    assert (refused.status, refused.json["error"]["param"]) == (400, param)
    assert (await control.ask("GET", f"/admin/keys/{made['id']}")).json == made


async def test_a_rotated_key_is_shown_once_with_the_end_of_the_former(
    control: Control, clock: ManualClock
) -> None:
    """Id and terms stay; the record has the overlap and no key."""
    made = (await control.ask("POST", "/admin/keys", {"name": "ci"})).json
    rotated = (await control.ask("POST", f"/admin/keys/{made['id']}/rotate", {"overlap_s": 60})).json

    assert rotated["key"].startswith("tsk_")
    assert rotated["key"] != made["key"]
    assert (rotated["id"], rotated["hint"]) == (made["id"], rotated["key"][-4:])
    ends = datetime.fromtimestamp(clock.time() + 60, UTC)
    assert datetime.fromisoformat(rotated["former_until"]) == ends
    action, _, details = control.recorded[-1]
    assert (action, details["changed"], details["overlap_s"]) == ("key_updated", ["key"], 60)
    assert rotated["key"] not in repr(control.recorded)


@pytest.mark.parametrize("overlap_s", [-1, 1e300, "60", None, 31 * 86_400])
async def test_an_overlap_out_of_range_is_400(control: Control, overlap_s: object) -> None:
    """Thirty days are the most."""
    made = (await control.ask("POST", "/admin/keys", {"name": "ci"})).json
    refused = await control.ask("POST", f"/admin/keys/{made['id']}/rotate", {"overlap_s": overlap_s})

    assert (refused.status, refused.json["error"]["param"]) == (400, "overlap_s")


@pytest.mark.parametrize(("path", "body"), [("", {"name": "other"}), ("/rotate", {})])
async def test_what_cannot_be_recorded_is_not_changed(
    control: Control, keys: Keys, path: str, body: dict[str, object]
) -> None:
    """No setting changes without a trail."""
    made = (await control.ask("POST", "/admin/keys", {"name": "ci"})).json
    before = await keys.one(made["id"])
    control.fails = NoRecord("the disk is full", retry_after_s=1)
    method = "POST" if path else "PATCH"
    refused = await control.ask(method, f"/admin/keys/{made['id']}{path}", body)
    after = await keys.one(made["id"])

    assert refused.status == 503
    assert (after.name, after.key_hash, after.former_hash) == (before.name, before.key_hash, None)


STRONG = {"name": "n", "scopes": ["admin", "audit:admin"]}
WIDE = {"name": "n", "scopes": ["admin"]}
ONE_LLM = {"llms": frozenset({"fast"})}


@pytest.mark.parametrize(
    ("mine", "theirs", "change"),
    [
        pytest.param({}, STRONG, {"name": "x"}, id="a key with more scopes"),
        pytest.param({}, WIDE, {"scopes": ["audit:admin"]}, id="a scope not one's own"),
        pytest.param({"projects": frozenset({"red"})}, WIDE, {"name": "x"}, id="a key of every project"),
        pytest.param(
            {"projects": frozenset({"red"})},
            WIDE | {"projects": ["red"]},
            {"projects": ["red", "blue"]},
            id="a project not one's own",
        ),
        pytest.param(
            {"projects": frozenset({"red"})},
            WIDE | {"projects": ["red"]},
            {"projects": None},
            id="all projects",
        ),
        pytest.param(ONE_LLM, WIDE | {"llms": ["fast"]}, {"llms": ["deep"]}, id="an llm not one's own"),
        pytest.param(ONE_LLM, WIDE | {"llms": ["deep"]}, {"name": "x"}, id="a key of another llm"),
    ],
)
async def test_nobody_reaches_further_through_another_key(
    control: Control, mine: dict[str, Any], theirs: dict[str, object], change: dict[str, object]
) -> None:
    """By changing one, by renewing one that reaches further, by making one: 403."""
    other = (await control.ask("POST", "/admin/keys", theirs)).json
    control.actor = Actor("key_1", "n", expand(["admin"]), **mine)
    changed = await control.ask("PATCH", f"/admin/keys/{other['id']}", change)
    made = await control.ask("POST", "/admin/keys", theirs | change)

    assert (changed.status, made.status) == (403, 403)
    if change == {"name": "x"}:
        assert (await control.ask("POST", f"/admin/keys/{other['id']}/rotate", {})).status == 403


async def test_whoever_is_limited_changes_what_is_within(control: Control) -> None:
    """A key for the same projects and llms, or fewer of them."""
    theirs = {"name": "n", "projects": ["red"], "llms": ["fast", "p/*"]}
    other = (await control.ask("POST", "/admin/keys", theirs)).json
    llms, projects = frozenset({"fast", "p/*"}), frozenset({"red", "blue"})
    control.actor = Actor("key_1", "n", expand(["admin"]), llms, projects)
    changed = await control.ask("PATCH", f"/admin/keys/{other['id']}", {"llms": ["p/one"]})

    assert (changed.status, changed.json["llms"]) == (200, ["p/one"])
