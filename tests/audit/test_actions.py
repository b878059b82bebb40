"""Every action of the closed list is produced by a real path, and a test holds it to that."""

import ast
from pathlib import Path

import pytest

from tristar.audit.record import ACTIONS

TESTS = Path(__file__).parents[1]

PRODUCED_IN = {
    "llm_call": "contract/test_audit_routes.py::test_records_are_listed_by_every_filter_and_the_reading_is_recorded",
    "request": "contract/test_headers.py",
    "auth_success": "contract/test_events.py::test_a_key_that_is_let_in_is_recorded_once_however_often_it_calls",
    "auth_failure": "contract/test_events.py::test_failed_logins_are_recorded_folded_by_address",
    "access_denied": "contract/test_events.py::test_a_denied_scope_model_or_route_is_recorded",
    "rate_limited": "contract/test_events.py::test_a_reached_limit_is_recorded_with_its_name",
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
    "audit_read": "contract/test_audit_routes.py::test_records_are_listed_by_every_filter_and_the_reading_is_recorded",
    "audit_exported": "contract/test_audit_routes.py::test_an_export_is_streamed_whole_and_recorded_with_its_hash",
    "audit_verified": "contract/test_audit_routes.py::test_verification_is_answered_followed_and_recorded",
    "audit_segment_closed": "guide/test_4_configuration.py",
    "audit_retention": "guide/test_4_configuration.py",
    "audit_gap": "host/test_hub.py",
    "audit_hold": "contract/test_audit_routes.py::test_holds_are_placed_listed_and_released_by_those_who_may",
    "audit_recovered": "cli/test_audit.py",
    "service_started": "contract/test_events.py::test_a_service_that_starts_and_stops_records_both_once",
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
    return ast.get_source_segment(text, found[0]) or ""


def test_every_action_has_its_producing_test() -> None:
    """A new action takes a row here, and a test."""
    assert PRODUCED_IN.keys() == ACTIONS


@pytest.mark.parametrize("action", sorted(PRODUCED_IN))
def test_the_test_that_is_named_looks_for_the_action(action: str) -> None:
    """By its name, as a string."""
    constants = {
        node.value
        for node in ast.walk(ast.parse(source_of(PRODUCED_IN[action])))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }

    assert any(action in constant.split() for constant in constants)
