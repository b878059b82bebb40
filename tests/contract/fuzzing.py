"""Requests made from the OpenAPI document, good ones and bad ones; what answers them must be in it."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)
from tests.audit.trials.outcome import Outcome
from tests.gateway import Gateway

ADMIN = {"authorization": "Bearer an-admin-key-for-tests"}
ENDLESS = "/stream"
"""What ends so is a stream that ends with its key; its own tests read it."""

CHECKS = [content_type_conformance, response_headers_conformance, response_schema_conformance]
TOML = "[auth]\nfailed_logins_per_minute = 0\n"


def fuzzed_gateway(folder: Path) -> Gateway:
    """A gateway with nothing but echo, whose access is closed; not started."""
    return Gateway(folder, toml=TOML, env={"TRISTAR_ADMIN_KEY": "an-admin-key-for-tests"})


def fuzz(gateway: Gateway, headers: Mapping[str, str], *, examples: int, repeatable: bool = False) -> Outcome:
    """For each operation so many good requests and as many bad ones, with these headers."""
    document = gateway.request("GET", "/openapi.json", headers=ADMIN).json()
    schema = schemathesis.openapi.from_dict(document)
    outcome = Outcome()
    with requests.Session() as session:
        for found in schema.get_all_operations():
            assert isinstance(found, Ok), "the document cannot be read"
            operation = found.ok()
            if operation.path.endswith(ENDLESS):
                continue
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                look = _Look(gateway.url, dict(headers), session, document, outcome)
                run = given(operation.as_strategy(generation_mode=mode))(look.at)
                with suppress(Unsatisfiable):  # a route without a field has no bad requests
                    _set(examples, repeatable=repeatable)(run)()
    return outcome


def _set(examples: int, *, repeatable: bool) -> settings:
    return settings(
        max_examples=examples,
        derandomize=repeatable,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


class _Look:
    """One operation, asked again and again."""

    def __init__(
        self,
        url: str,
        headers: dict[str, str],
        session: requests.Session,
        document: dict[str, Any],
        outcome: Outcome,
    ) -> None:
        self._url = url
        self._headers = headers
        self._session = session
        self._document = document
        self._outcome = outcome

    def at(self, case: Case[Any]) -> None:
        """Ask once, and keep what was not as the document says."""
        answer = case.call(self._url, session=self._session, headers=self._headers, timeout=30)
        self._outcome.count("requests")
        problems = self._problems(case, answer)
        if problems and len(self._outcome.faults) < 20:
            body = answer.content[:300]
            told = f"{case.as_curl_command()[:600]}: {answer.status_code} {body!r}: {'; '.join(problems)}"
            self._outcome.faults.append(told)

    def _problems(self, case: Case[Any], answer: Any) -> Sequence[str]:  # noqa: ANN401 - schemathesis' response
        status = answer.status_code
        documented = self._document["paths"][case.operation.path][case.method.lower()]["responses"]
        if status == 500 or str(status) not in documented:
            return [f"{status} is not among {sorted(documented)}"]
        try:
            case.validate_response(answer, checks=CHECKS)
        except Exception as failure:  # noqa: BLE001 - whatever its checks raise is a finding
            return [str(failure)[:500]]
        return []
