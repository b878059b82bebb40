"""The audit log in the console: found, opened, proven, verified, taken away."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, expect
from tests.browser.conftest import OpenVisit
from tests.browser.visit import Visit
from tests.gateway import Gateway

CHECK = "const { check, holds } = await load('proof.js'); return holds(await check(...argument));"
FOUND = "const { check } = await load('proof.js'); return check(...argument);"


@pytest.fixture(scope="module")
def world(stage: Gateway, browser: Browser) -> Iterator[Visit]:
    """A page in which the console's modules can be called."""
    visit = Visit.at(stage, browser).open("playground")
    yield visit
    visit.page.context.close()
    visit.assert_clean()


@pytest.fixture(scope="module")
def key(stage: Gateway) -> str:
    """The log's public key, from its file."""
    return (stage.data_folder / "audit-signing.vkey").read_text().strip()


@pytest.fixture(scope="module")
def proofs(stage: Gateway) -> list[dict[str, Any]]:
    """Real proofs of the first records, each as soon as it is published."""
    found = []
    for seq in range(8):
        while (answer := stage.request("GET", f"/admin/audit/records/{seq}/proof")).status_code == 404:
            pass  # published within a second
        found.append(answer.raise_for_status().json())
    return found


def flipped(text: str) -> str:
    """The same base64 with one bit of its bytes changed."""
    raw = bytearray(base64.b64decode(text))
    raw[len(raw) // 2] ^= 1
    return base64.b64encode(raw).decode()


def test_every_real_proof_holds(world: Visit, proofs: list[dict[str, Any]], key: str) -> None:
    """With the record's bytes, the path and the signature all checked."""
    for proof in proofs:
        found = world.run(FOUND, [proof, key])

        assert (found["line"], found["path"], found["signature"]) == (True, True, True)
        assert (found["complaint"], found["size"]) == ("", proof["size"])


@pytest.mark.parametrize(
    "what", ["line", "entry", "hash", "fewer", "more", "order", "seq", "size", "root", "signature", "note"]
)
def test_an_altered_proof_does_not_hold(
    world: Visit, proofs: list[dict[str, Any]], key: str, what: str
) -> None:
    """Whatever of it is altered."""
    proof = json.loads(json.dumps(proofs[5]))
    body, _, signature = proof["checkpoint"].rpartition("\n\n")
    origin, size, root = body.split("\n")
    match what:
        case "line":
            proof["line"] = proof["line"].replace('"timestamp":"2', '"timestamp":"3', 1)
        case "entry":
            proof["entry"] = proofs[4]["entry"]
        case "hash":
            proof["hashes"][0] = flipped(proof["hashes"][0])
        case "fewer":
            proof["hashes"].pop()
        case "more":
            proof["hashes"].append(proof["hashes"][0])
        case "order":
            proof["hashes"].reverse()
        case "seq":
            proof["seq"] -= 1
        case "size":
            proof["size"] += 1
        case "root":
            proof["checkpoint"] = f"{origin}\n{size}\n{flipped(root)}\n\n{signature}"
        case "signature":
            name, _, encoded = signature.strip().rpartition(" ")
            proof["checkpoint"] = f"{body}\n\n{name} {flipped(encoded)}\n"
        case "note":
            proof["checkpoint"] = proof["checkpoint"].replace("\n\n", "\n")

    assert world.run(CHECK, [proof, key]) is False


def test_another_key_does_not_make_the_proof_hold(
    world: Visit, proofs: list[dict[str, Any]], key: str
) -> None:
    """A key that signed nothing here, and a text that is no key."""
    name, _, rest = key.partition("+")
    other = f"{name}+00000000+{rest.partition('+')[2]}"

    assert world.run(CHECK, [proofs[0], other]) is False
    assert world.run(CHECK, [proofs[0], "no key"]) is False


def test_without_a_key_the_signature_is_not_said_to_be_checked(
    world: Visit, proofs: list[dict[str, Any]]
) -> None:
    """The path is still proven."""
    found = world.run(FOUND, [proofs[0], None])

    assert (found["path"], found["signature"]) == (True, None)


def test_a_record_is_opened_and_proven_in_the_browser(stage: Gateway, visit: OpenVisit) -> None:
    """It says what was proven and whose key was used; a key of one's own can be used instead."""
    own = (stage.data_folder / "audit-signing.vkey").read_text().strip()
    seen = visit(stage).open("audit?action=llm_call")
    seen.page.locator("#records th a").first.click()
    proof = seen.page.locator("#proof")
    expect(proof.locator(".notice")).to_contain_text("Proven in this browser.")
    expect(proof.locator(".notice")).to_contain_text("came from this gateway itself")
    expect(proof.locator(".mark.good")).to_have_count(3)
    seen.page.get_by_text("Check with a key of your own").click()
    seen.page.get_by_label("Public key").fill(own.replace("+", "-", 1))
    seen.page.get_by_role("button", name="Check").click()

    expect(proof.locator(".notice")).to_contain_text("The proof does not hold.")


def test_records_are_found_by_every_filter(stage: Gateway, visit: OpenVisit) -> None:
    """Action, level, key, trace and text, all of which must hold; none that fits is said."""
    trace = next(record["trace_id"] for record in stage.records() if record["action"] == "llm_call")
    seen = visit(stage).open("audit")
    rows = seen.page.locator("#records tbody tr")
    fields = seen.page.locator("#audit-filter")
    fields.locator("[name=trace_id]").fill(str(trace))
    fields.locator("[name=action]").select_option("llm_call")
    fields.locator("[name=user_id]").fill("anonymous")
    fields.locator("[name=text]").fill("SERVER_ERROR")
    fields.locator("[name=since]").fill("2020-01-01T00:00:00")
    fields.get_by_role("button", name="Apply").click()
    expect(rows).to_have_count(1)
    fields.locator("[name=level]").select_option("DEBUG")
    fields.get_by_role("button", name="Apply").click()

    expect(seen.page.locator("#records")).to_contain_text("No record fits.")


def test_older_records_follow_page_by_page(stage: Gateway, visit: OpenVisit) -> None:
    """By the cursor, none twice."""
    for _ in range(60):
        stage.request("GET", "/v1/models")
    seen = visit(stage).open("audit?action=request")
    seen.page.locator("#older").click()
    numbers = seen.page.locator("#records td:last-child")
    expect(numbers).not_to_have_count(50)
    told = [int(text.replace(",", "")) for text in numbers.all_inner_texts()]

    assert len(told) > 50
    assert told == sorted(set(told), reverse=True)


def test_the_log_is_verified_with_its_progress(stage: Gateway, visit: OpenVisit) -> None:
    """The verdict says what was read and what no verification here can tell."""
    seen = visit(stage).open("audit")
    seen.page.locator("#verify").click()

    expect(seen.page.locator("#verdict")).to_contain_text("The log is whole.", timeout=20_000)
    expect(seen.page.locator("#verdict")).to_contain_text("compare with an anchor")
    seen.assert_whole("verified")


def test_an_export_is_the_bytes_of_the_log(stage: Gateway, visit: OpenVisit) -> None:
    """Every line that there was, as it was written."""
    seen = visit(stage).open("audit")
    with seen.page.expect_download() as waiting:
        seen.page.locator("#export button").click()
    lines = waiting.value.path().read_bytes().splitlines()
    first = stage.request("GET", "/admin/audit/records/0/proof").json()["line"]

    assert waiting.value.suggested_filename == "audit.jsonl"
    assert lines[0].decode() == first
    assert [json.loads(line)["seq"] for line in lines] == list(range(len(lines)))
