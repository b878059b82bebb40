"""Scopes and what they imply."""

import pytest

from tristar.auth.actor import ANONYMOUS, BOOTSTRAP, Actor
from tristar.auth.scopes import SCOPES, expand, parse
from tristar.errors import BadRequest


def test_admin_implies_every_scope_but_audit_admin() -> None:
    """Erasure, holds and overrides of the audit log need a scope of their own."""
    assert expand(["admin"]) == set(SCOPES) - {"audit:admin"}
    assert expand(["admin", "audit:admin"]) == set(SCOPES)
    assert expand(["chat", "audit:admin"]) == {"chat", "audit:admin"}


def test_the_bootstrap_key_and_an_open_gate_have_every_scope() -> None:
    """Both are the operator."""
    assert all(actor.allows(scope) for actor in (ANONYMOUS, BOOTSTRAP) for scope in SCOPES)


@pytest.mark.parametrize(
    ("names", "told"), [(["Chat"], "'Chat'"), ([], "at least one"), (["x" * 5000], "xxx")]
)
def test_unknown_or_no_scopes_are_refused_naming_those_that_are(names: list[str], told: str) -> None:
    """The message is bounded and lists what may be asked for."""
    with pytest.raises(BadRequest) as refused:
        parse(names)

    assert told in refused.value.message
    assert "memory:read" in refused.value.message
    assert len(refused.value.message) < 250


def test_scopes_are_kept_once_and_in_order() -> None:
    """Whatever order they were asked in."""
    assert parse(["admin", "chat", "chat"]) == ("chat", "admin")


@pytest.mark.parametrize(
    ("llms", "llm_id", "may"),
    [
        (None, "anything", True),
        ({"fast"}, "fast", True),
        ({"fast"}, "faster", False),
        ({"openai/*"}, "openai/gpt-4o", True),
        ({"openai/*"}, "openai", False),
        ({"openai/*"}, "openai2/gpt-4o", False),
        ({"openai/*"}, "azure/openai/gpt", False),
        ({"*"}, "fast", False),
        (set(), "fast", False),
    ],
)
def test_a_key_may_use_the_llms_that_it_names(llms: set[str] | None, llm_id: str, *, may: bool) -> None:
    """By their names, or a whole provider as `provider/*`."""
    actor = Actor("key_1", "n", expand(["chat"]), None if llms is None else frozenset(llms))

    assert actor.may_use(llm_id) is may
