"""What an operator does in the console: breakers, calls, memory, keys, a conversation."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect
from tests.browser.conftest import MEMORIES, OpenVisit
from tests.gateway import Gateway

StartGateway = Callable[..., Gateway]


def dialog(page: Page, button: str) -> None:
    """Carry out what the open dialog asks about."""
    page.locator("dialog").get_by_role("button", name=button, exact=True).click()
    expect(page.locator("dialog")).to_have_count(0)


def test_an_open_breaker_is_seen_at_once_and_reset(stage: Gateway, visit: OpenVisit) -> None:
    """On the overview, first in the list, in its past; resetting asks first and is recorded."""
    seen = visit(stage).open()
    expect(seen.page.locator("#attention")).to_contain_text("The breaker of weak is open")
    seen.go("llms")
    expect(seen.page.locator("#llms tbody tr").first).to_contain_text("weak")
    seen.page.get_by_role("link", name="weak").click()
    expect(seen.page.locator("#llms")).to_contain_text("server_error · 500")
    expect(seen.page.locator("#llms .timeline")).to_contain_text("open")
    seen.page.locator("#reset").click()
    seen.page.keyboard.press("Escape")
    expect(seen.page.locator("#llms .state").first).to_contain_text("open")
    seen.page.locator("#reset").click()
    dialog(seen.page, "Reset")

    expect(seen.page.locator("#llms .state").first).to_contain_text("closed")
    expect(seen.page.locator("#llms-told")).to_contain_text("breaker_override")
    assert [record["resource"] for record in stage.records() if record["action"] == "breaker_override"] == [
        "llm:weak"
    ]


def test_an_llm_is_kept_out_and_let_in_again(stage: Gateway, visit: OpenVisit) -> None:
    """Forced open it says that it stays so; its strip tells of both."""
    seen = visit(stage).open("llms/strong")
    seen.page.locator("#force-open").click()
    expect(seen.page.locator("dialog")).to_contain_text("No call reaches this llm")
    dialog(seen.page, "Force open")
    expect(seen.page.locator("#llms")).to_contain_text("Forced open")
    assert stage.chat("strong").status_code == 503
    seen.page.locator("#reset").click()
    dialog(seen.page, "Reset")
    expect(seen.page.locator("#llms .state").first).to_contain_text("closed")

    expect(seen.page.locator("#llms .timeline li")).to_have_count(2)
    assert stage.chat("strong").status_code == 200


def test_a_call_appears_as_it_ends_with_its_attempts(stage: Gateway, visit: OpenVisit) -> None:
    """The newest first; its trace leads to its audit record."""
    seen = visit(stage).open("calls")
    calls = seen.page.locator("#calls > li")
    expect(calls.last).to_contain_text("weak → strong")
    before = calls.count()
    stage.chat("strong")
    expect(calls).to_have_count(before + 1)
    expect(calls.first).to_contain_text("strong")
    calls.last.locator("summary").click()
    expect(calls.last.locator(".attempts li")).to_have_count(2)
    expect(calls.last.locator(".attempts")).to_contain_text("server_error")
    calls.last.get_by_role("link", name="Audit record").click()

    expect(seen.page.locator("#records tbody")).to_contain_text("llm_call")


def test_the_list_of_calls_is_held_still_and_filtered(stage: Gateway, visit: OpenVisit) -> None:
    """What comes meanwhile waits; a filter shows what it says."""
    seen = visit(stage).open("calls")
    calls = seen.page.locator("#calls > li")
    expect(calls.first).to_be_visible()
    before = calls.count()
    seen.page.locator("#hold").click()
    stage.chat("strong")
    expect(seen.page.locator("#calls-told")).to_contain_text("1 waiting")
    expect(calls).to_have_count(before)
    seen.page.locator("#hold").click()
    expect(calls).to_have_count(before + 1)
    seen.page.get_by_label("Show").select_option("retried")
    expect(calls).to_have_count(2)
    seen.page.get_by_label("Filter").fill("nothing like it")

    expect(seen.page.locator("main .empty")).to_contain_text("No call fits")


def test_memory_is_searched_and_an_entry_is_made(stage: Gateway, visit: OpenVisit) -> None:
    """A new entry opens; words find it, others do not."""
    seen = visit(stage).open("memory")
    seen.page.locator("#remember").click()
    seen.page.locator("dialog [name=content]").fill("Deploys stop on Fridays at noon.")
    seen.page.locator("dialog [name=tags]").fill("ops, rules")
    dialog(seen.page, "Save")
    expect(seen.page.locator("#content")).to_have_text("Deploys stop on Fridays at noon.")
    seen.go("memory").page.get_by_label("Search").fill("deploys friday*")
    seen.page.get_by_role("button", name="Apply").click()
    expect(seen.page.locator("#entries tbody tr")).to_have_count(1)
    expect(seen.page.locator("#entries")).to_contain_text("ops, rules")
    seen.page.get_by_label("Search").fill("deploys saturday")
    seen.page.get_by_role("button", name="Apply").click()

    expect(seen.page.locator("#entries")).to_contain_text("No entry fits.")


def test_two_who_change_an_entry_do_not_overwrite_each_other(stage: Gateway, visit: OpenVisit) -> None:
    """The second is shown what the first made of it, and decides."""
    entry = stage.request("POST", "/v1/memory", json={"content": "as it was"}).json()
    seen = visit(stage)
    seen.refusals_expected = True
    seen.open(f"memory/{entry['id']}").page.locator("#edit").click()
    stage.request("PATCH", f"/v1/memory/{entry['id']}", json={"content": "as others see it"})
    seen.page.locator("dialog [name=content]").fill("as I see it")
    seen.page.locator("dialog").get_by_role("button", name="Save").click()
    expect(seen.page.locator("#theirs")).to_have_text("as others see it")
    expect(seen.page.locator("dialog")).to_contain_text("nothing was written")
    seen.assert_whole("conflict")
    dialog(seen.page, "Save")

    expect(seen.page.locator("#content")).to_have_text("as I see it")
    expect(seen.page.locator("#history li")).to_have_count(3)


def test_an_entry_is_confirmed_contradicted_and_forgotten(stage: Gateway, visit: OpenVisit) -> None:
    """Votes move its confidence and stand in its history; deleting asks first."""
    entry = stage.request("POST", "/v1/memory", json={"content": MEMORIES[0] + " Again."}).json()
    seen = visit(stage).open(f"memory/{entry['id']}")
    for button in ("Validate", "Contradict"):
        seen.page.get_by_role("button", name=button).click()
        seen.page.get_by_label("In whose name").fill(f"judge-{button}")
        dialog(seen.page, button)
        expect(seen.page.locator("#entry-told")).to_have_text("Counted.")
    expect(seen.page.locator("[data-fact=confidence]")).to_have_text("45%")
    expect(seen.page.locator("#history")).to_contain_text("contradicted")
    seen.page.locator("#delete").click()
    dialog(seen.page, "Delete")

    expect(seen.page.locator("main h1")).to_have_text("Memory")
    assert stage.request("GET", f"/v1/memory/{entry['id']}").status_code == 404


def test_a_key_is_made_shown_once_used_changed_and_revoked(gateway: StartGateway, visit: OpenVisit) -> None:
    """Nothing of it stays in the page; the first one closes the gateway, and the page asks for it."""
    running = gateway()
    seen = visit(running)
    seen.refusals_expected = True
    seen.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    seen.open("keys").page.locator("#make-key").click()
    seen.page.get_by_label("Name").fill("operator")
    seen.page.get_by_label("admin: everything but audit:admin").check()
    seen.page.get_by_role("button", name="Make the key").click()
    secret = seen.page.locator("#secret").inner_text()
    seen.assert_whole("key-once")
    seen.page.locator("#copy").click()
    expect(seen.page.get_by_text("Copied.")).to_be_visible()
    assert seen.page.evaluate("navigator.clipboard.readText()") == secret
    dialog(seen.page, "I have kept it")
    expect(seen.page.locator("#access")).to_be_visible()
    assert secret not in seen.page.content()

    seen.page.get_by_label("API key").fill(secret)
    seen.page.keyboard.press("Enter")
    expect(seen.page.locator("#keys tbody tr")).to_have_count(1)
    seen.page.locator("#make-key").click()
    seen.page.get_by_label("Name").fill("laptop")
    seen.page.locator("dialog summary").click()
    seen.page.locator("dialog [name=requests_per_minute]").fill("30")
    seen.page.locator("dialog [name=budget_usd_per_day]").fill("2.5")
    seen.page.get_by_role("button", name="Make the key").click()
    laptop = seen.page.locator("#secret").inner_text()
    dialog(seen.page, "I have kept it")
    row = seen.page.locator("#keys tbody tr").filter(has_text="laptop")
    expect(row).to_contain_text("30 requests/min · $2.50 a day")
    running.chat("echo", headers={"authorization": f"Bearer {laptop}"})
    seen.go("overview").go("keys")
    expect(seen.page.locator("#limits")).to_contain_text("Requests per minute")
    seen.assert_whole("keys-in-use")
    row.get_by_role("button", name="Edit").click()
    seen.page.locator("dialog summary").click()
    seen.page.locator("dialog [name=requests_per_minute]").fill("")
    dialog(seen.page, "Save")
    expect(row).not_to_contain_text("30 requests/min")
    row.get_by_role("button", name="Rotate").click()
    seen.page.get_by_label("Overlap").select_option("0")
    seen.page.locator("dialog").get_by_role("button", name="Rotate").click()
    assert seen.page.locator("#secret").inner_text() != laptop
    dialog(seen.page, "I have kept it")
    row.get_by_role("button", name="Revoke").click()
    dialog(seen.page, "Revoke")

    expect(row).to_contain_text("revoked")
    expect(seen.page.locator("#keys-told")).to_contain_text("“laptop” is revoked.")


ADMIN_KEY = "adm-canary-0000000000000000000000000000000000"
LLM_LIMITS = {
    "en-GB": {
        "add": "Limit an llm",
        "remove": "Remove",
        "twice": "This llm is limited above already.",
        "make": "Make the key",
        "kept": "I have kept it",
        "edit": "Edit",
        "save": "Save",
    },
    "de-DE": {
        "add": "Ein LLM begrenzen",
        "remove": "Entfernen",
        "twice": "Dieses LLM ist oben schon begrenzt.",
        "make": "Schlüssel erzeugen",
        "kept": "Ich habe ihn verwahrt",
        "edit": "Ändern",
        "save": "Speichern",
    },
}


@pytest.mark.parametrize("locale", ["en-GB", "de-DE"])
def test_limits_of_a_key_on_single_llms_are_added_listed_and_removed(
    gateway: StartGateway, visit: OpenVisit, locale: str
) -> None:
    """Each llm once; what the form shows is what the gateway holds, in either language."""
    words = LLM_LIMITS[locale]
    running = gateway(env={"TRISTAR_ADMIN_KEY": ADMIN_KEY})
    seen = visit(running, locale=locale)
    seen.refusals_expected = True
    seen.open("keys")
    seen.page.locator("main input").first.fill(ADMIN_KEY)
    seen.page.keyboard.press("Enter")
    seen.page.locator("#make-key").click()
    seen.page.locator("dialog [name=name]").fill("batch")
    seen.page.locator("dialog summary").click()
    for _ in range(2):
        seen.page.get_by_role("button", name=words["add"]).click()
    first, second = seen.page.locator(".one-llm").all()
    first.locator("[name=llm_limit]").fill("echo")
    first.locator("[name=llm_requests_per_minute]").fill("7")
    second.locator("[name=llm_limit]").fill("echo")
    twice = second.locator("[name=llm_limit]").evaluate("input => input.validationMessage")
    second.locator("[name=llm_limit]").fill("openai/*")
    second.locator("[name=llm_budget_usd_per_day]").fill("1.5")
    seen.assert_whole(f"key-llm-limits-{locale}")
    seen.page.get_by_role("button", name=words["make"]).click()
    dialog(seen.page, words["kept"])
    held = _limits(running)
    row = seen.page.locator("#keys tbody tr").filter(has_text="batch")
    row.get_by_role("button", name=words["edit"]).click()
    seen.page.locator("dialog summary").click()
    shown = [each.input_value() for each in seen.page.locator("[name=llm_limit]").all()]
    seen.page.locator(".one-llm").nth(shown.index("echo")).get_by_role("button", name=words["remove"]).click()
    dialog(seen.page, words["save"])
    expect(seen.page.locator("dialog")).to_have_count(0)
    left = _limits(running)
    row.get_by_role("button", name=words["edit"]).click()
    seen.page.locator("dialog summary").click()
    seen.page.locator("dialog").get_by_role("button", name=words["remove"]).click()
    dialog(seen.page, words["save"])
    expect(seen.page.locator("dialog")).to_have_count(0)

    assert twice == words["twice"]
    assert held == {"echo": {"requests_per_minute": 7}, "openai/*": {"budget_usd_per_day": 1.5}}
    assert sorted(shown) == ["echo", "openai/*"]
    assert left == {"openai/*": {"budget_usd_per_day": 1.5}}
    assert _limits(running) is None


def _limits(gateway: Gateway) -> dict[str, dict[str, float]] | None:
    """What the key `batch` is limited to on single llms, as the API tells."""
    (key,) = [
        each
        for each in gateway.request(
            "GET", "/admin/keys", headers={"authorization": f"Bearer {ADMIN_KEY}"}
        ).json()["data"]
        if each["name"] == "batch"
    ]
    found = key["llm_limits"]
    if found is None:
        return None
    return {
        llm: {name: value for name, value in of.items() if value is not None} for llm, of in found.items()
    }


def test_a_conversation_tells_what_each_answer_took(echo: Gateway, visit: OpenVisit) -> None:
    """Streamed; tokens, times, attempts, who answered, and the trace that leads to its audit record."""
    seen = visit(echo).open("playground")
    page = seen.page
    for text in ("one two three", "four"):
        page.locator("#question").fill(text)
        page.locator("#send").click()
        expect(page.locator("#playground-status")).to_have_text("Complete.")
        expect(page.locator("#send")).to_be_enabled()
    first = page.locator(".turn").first
    expect(first.locator(".answer")).to_have_text("one two three")
    expect(first.locator("[data-fact=fact_tokens_out]")).to_have_text("3")
    expect(first.locator("[data-fact=fact_first]")).to_have_text(re.compile(r"\d+ ms|\d+ s"))
    expect(first.locator("[data-fact=fact_attempts]")).to_have_text("1")
    expect(first.locator("[data-fact=fact_llm]")).to_have_text("echo")
    expect(first.locator("[data-fact=fact_cost]")).to_have_text("$0.00")
    expect(page.locator(".turn")).to_have_count(2)
    first.locator("[data-fact=fact_trace] a").click()

    expect(page.locator("#records tbody")).to_contain_text("llm_call")


def test_a_failed_call_says_why(stage: Gateway, visit: OpenVisit) -> None:
    """In the gateway's own words; the question stays, to be sent again."""
    seen = visit(stage)
    seen.refusals_expected = True
    seen.open("playground").page.locator("#model").select_option("\0other")
    seen.page.locator("#other").fill("none/such")
    seen.page.locator("#send").click()

    expect(seen.page.locator("#playground-status")).to_contain_text("Failed with 404")
    expect(seen.page.locator("#question")).not_to_have_value("")
