"""What one key may give to another: nothing that it does not have itself."""

from collections.abc import Sequence
from typing import Protocol

from tristar.auth.actor import Actor
from tristar.auth.scopes import Scope, expand
from tristar.errors import Forbidden


class Terms(Protocol):
    """What a key reaches."""

    @property
    def scopes(self) -> Sequence[Scope]: ...  # noqa: D102 - the fields of a key
    @property
    def llms(self) -> Sequence[str] | None: ...  # noqa: D102
    @property
    def projects(self) -> Sequence[str] | None: ...  # noqa: D102


def check_grant(terms: Terms, actor: Actor) -> None:
    """Refuse an actor who would make, change or renew a key that reaches further than their own.

    Raises:
        Forbidden: in scopes, llms or projects.
    """
    beyond = sorted(expand(terms.scopes) - actor.scopes)
    if beyond:
        raise Forbidden(f"Your own key lacks the scope {beyond[0]!r}, so it cannot grant it.", param="scopes")
    if actor.llms is not None and not (terms.llms and all(actor.may_use(name) for name in terms.llms)):
        raise Forbidden("Your own key is limited to some llms, so it grants no others.", param="llms")
    projects = actor.projects
    if projects is not None and not (terms.projects and projects.issuperset(terms.projects)):
        raise Forbidden("Your own key is limited to some projects, so it grants no others.", param="projects")
