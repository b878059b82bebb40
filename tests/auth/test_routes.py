"""`/admin/keys` over HTTP."""

from datetime import UTC, datetime

import pytest
from tests.storage.routes import Control, control_of

from tristar.auth.actor import ANONYMOUS, Actor
from tristar.auth.keys import Keys
from tristar.auth.scopes import expand
from tristar.clock import ManualClock
from tristar.edge import keys as routes


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
    ("method", "path"), [("POST", "/admin/keys"), ("GET", "/admin/keys"), ("DELETE", "/admin/keys/key_0")]
)
async def test_every_route_needs_admin(control: Control, method: str, path: str) -> None:
    """Every other scope together is not enough."""
    control.actor = Actor("key_1", "n", ANONYMOUS.scopes - {"admin"})
    body = {"name": "n"} if method == "POST" else None

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
