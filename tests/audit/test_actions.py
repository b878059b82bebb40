"""Every action of the closed list is produced by a real path, and a test holds it to that."""

import ast
import re
from pathlib import Path

import pytest

from tristar.audit.record import ACTIONS

TESTS = Path(__file__).parents[1]

PRODUCED_IN = {
    "llm_call": "contract/test_audit_routes.py::test_records_are_listed_and_the_reading_is_recorded",
    "request": "contract/test_headers.py",
    "auth_success": "contract/test_events.py::test_a_key_that_is_let_in_is_recorded_once",
    "auth_failure": "contract/test_events.py::test_failed_logins_are_recorded_folded_by_address",
    "access_denied": "contract/test_events.py::test_a_denied_scope_model_or_route_is_recorded",
    "rate_limited": "contract/test_events.py::test_a_reached_limit_is_recorded_with_its_name",
    "budget_exceeded": "contract/test_budgets.py::test_a_spent_budget_says_when_it_renews",
    "breaker_transition": "contract/test_events.py::test_a_breaker_that_opens_is_recorded_once",
    "breaker_override": "contract/test_admin.py::test_an_operator_takes_an_llm_out_and_back",
    "key_created": "contract/test_events.py::test_keys_made_and_revoked_are_recorded_with_who_did_it",
    "key_updated": "audit/test_signing.py",
    "key_revoked": "contract/test_events.py::test_keys_made_and_revoked_are_recorded_with_who_did_it",
    "config_reloaded": "contract/test_admin.py::test_a_reload_puts_new_llms_in_force",
    "config_rejected": "contract/test_admin.py::test_a_reload_of_a_bad_file_changes_nothing",
    "memory_written": "contract/test_events.py::test_memory_written_read_and_deleted_is_recorded",
    "memory_read": "contract/test_events.py::test_memory_written_read_and_deleted_is_recorded",
    "memory_deleted": "contract/test_events.py::test_memory_written_read_and_deleted_is_recorded",
    "audit_read": "contract/test_audit_routes.py::test_records_are_listed_and_the_reading_is_recorded",
    "audit_exported": "contract/test_audit_routes.py::test_an_export_is_streamed_whole_and_recorded",
    "audit_verified": "contract/test_audit_routes.py::test_verification_is_answered_followed_and_recorded",
    "audit_segment_closed": "guide/test_4_configuration.py",
    "audit_retention": "guide/test_4_configuration.py",
    "audit_gap": "host/test_hub.py",
    "audit_erasure": "contract/test_erasure.py",
    "audit_hold": "contract/test_audit_routes.py::test_holds_are_placed_listed_and_released_by_those_who_may",
    "audit_recovered": "cli/test_audit.py",
    "service_started": "contract/test_events.py::test_a_service_that_starts_and_stops_records_both_once",
    "dependency_transition": "contract/test_keys_in_turn.py",
    "service_stopped": "contract/test_events.py::test_a_service_that_starts_and_stops_records_both_once",
}
"""The test that makes it happen and looks for its record: a file, and the function where one is named."""


def source_of(place: str) -> str:
    """The source of a test, or of all tests in a file. Fails if there is no such thing."""
    name, _, function = place.partition("::")
    text = (TESTS / name).read_text()
    if not function:
        return text
    found = [
        node
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == function
    ]
    assert found, f"{place}: no such test"
    first = min([found[0].lineno, *(mark.lineno for mark in found[0].decorator_list)])
    return "\n".join(text.splitlines()[first - 1 : found[0].end_lineno])


def test_every_action_has_its_producing_test() -> None:
    """A new action takes a row here, and a test."""
    assert PRODUCED_IN.keys() == ACTIONS


@pytest.mark.parametrize("action", sorted(PRODUCED_IN))
def test_the_test_that_is_named_looks_for_the_action(action: str) -> None:
    """By its name."""
    assert re.search(rf"\b{action}\b", source_of(PRODUCED_IN[action]))


def test_the_document_explains_every_action_and_no_other() -> None:
    """The table of docs/audit.md, row by row."""
    page = (TESTS.parent / "docs/audit.md").read_text()
    section = page.partition("\n## What is recorded\n")[2].partition("\n## ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    explained = [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]

    assert sorted(explained) == sorted(ACTIONS)


def test_the_console_offers_every_action_as_a_filter() -> None:
    """A page that knows fewer would hide what it cannot ask for."""
    script = (TESTS.parent / "src/tristar/edge/static/audit.js").read_text()
    listed = re.findall(r'"(\w+)"', script.partition("const ACTIONS = [")[2].partition("]")[0])

    assert sorted(listed) == sorted(ACTIONS)
