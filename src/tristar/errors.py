"""Everything that can go wrong, as one tree.

    TriStarError
    |-- StartRefused               the gateway cannot run as it was asked to (exit 2)
    |   |-- SettingsInvalid        a bad value in the configuration
    |   `-- WriterBusy             another process writes the log (audit/options)
    |-- AuditUnavailable           no durable record is possible (503)
    |-- AuditCorrupt               the log on disk contradicts its checkpoint
    |-- Misused                    a command was called in a way that cannot work (cli/endings)
    |-- ExportRefused              the output path is not one to write to (audit/outfile)
    |-- NothingToVerify            there is no log where one was named (audit/verify)
    |-- KeyInvalid                 a signing or verifier key is not one (audit/signing)
    `-- GatewayError               an answer to a client
        |-- BadRequest             400
        |   |-- BodyTooLarge       413
        |   |-- HeadTooLarge       431
        |   |-- NotJson            415
        |   |-- CannotCarry        400, the model's provider has no words for a field
        |   `-- RequestTooSlow     408
        |-- Unauthenticated        401
        |   `-- KeyRefused         401, with the reason (auth/gate)
        |-- Forbidden              403
        |   `-- Unpriced           403, a budget applies and the price is not known
        |-- MethodNotAllowed       405
        |-- NotFound               404
        |   `-- ModelNotFound      404
        |-- Conflict               409
        |   `-- VersionMismatch    412 (memory/store)
        |-- LimitExceeded          429
        |   |-- BudgetExceeded     429, the budget in US dollars is spent
        |   `-- LoginsThrottled    429, too many failed logins from one address
        |-- Unavailable            503
        |   |-- NoRecord           503, the audit log cannot take the record
        |   |   `-- RecordFailed   500, a defect of ours kept the record from being made
        |   |-- DependencyDown     503, the operator wants no service without what is away
        |   |-- DatabaseDown       503, keys or memory cannot be read (storage/engine)
        |   `-- AllTargetsOpen     503, every breaker on the route is open
        |-- DeadlineExceeded       504
        `-- UpstreamFailed         what the last attempt came to
            |-- UpstreamRefused    the provider's own 4xx, handed on
            |-- UpstreamUnreachable  502: connect, DNS, TLS, reset
            |-- UpstreamTimedOut   504: first byte, first token, idle or total
            |-- UpstreamBroken     502: cut, stalled or malformed answer
            `-- UpstreamUnwell     502/503: 5xx, 429, or a rejected operator key

Each class carries the HTTP status and the `code` that a client sees, and says
in its docstring what was and was not done and what the client should do.
"""

from collections.abc import Sequence
from dataclasses import dataclass


class TriStarError(Exception):
    """The root; catching it catches everything this project raises on purpose."""


@dataclass(frozen=True)
class Fault:
    """One bad value in the configuration: where, what it is, and how to mend it."""

    key: str
    value: str
    problem: str
    fix: str

    def __str__(self) -> str:
        shown = f" = {self.value}" if self.value else ""
        return f"{self.key}{shown}: {self.problem}. {self.fix}"


class StartRefused(TriStarError):
    """The gateway cannot run as it was asked to; nothing was started. The message says what to do."""


class SettingsInvalid(StartRefused):
    """The configuration has at least one bad value; nothing was started or changed."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = tuple(faults)


class AuditUnavailable(TriStarError):
    """The record was not made durable; the caller must not treat the action as recorded."""


class AuditCorrupt(TriStarError):
    """The log on disk is less than, or other than, what its checkpoint says; nothing was written.

    Operator action: keep the directory as evidence, see docs/audit.md, and only then
    `tristar audit recover --accept-truncation`.
    """


class GatewayError(TriStarError):
    """An error that is an answer: status, type and code are part of the contract."""

    status = 500
    type = "server_error"
    code = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s


class BadRequest(GatewayError):
    """The request cannot be understood; nothing was sent upstream.

    Client action: correct the field named in `param`; do not retry unchanged.
    """

    status, type, code = 400, "invalid_request_error", "invalid_request"


class BodyTooLarge(BadRequest):
    """The body exceeds `[server] max_body_mb`; it was not read to its end."""

    status, code = 413, "request_too_large"


class HeadTooLarge(BadRequest):
    """The request line and headers are too long, or there are too many; nothing was read after them."""

    status, code = 431, "request_head_too_large"


class CannotCarry(BadRequest):
    """What is asked cannot be said to the model's provider; nothing was sent upstream.

    Client action: leave the field named in `param` out, or name a model whose provider knows it.
    """

    code = "unsupported_by_provider"


class NotJson(BadRequest):
    """The body is of another media type than the route takes; nothing was read of it."""

    status, code = 415, "unsupported_media_type"


class RequestTooSlow(BadRequest):
    """The request did not arrive in time; nothing was sent upstream.

    Client action: retry unchanged.
    """

    status, code = 408, "request_timeout"


class Unauthenticated(GatewayError):
    """No key, or a key that is not known, is revoked or has expired.

    Client action: send `Authorization: Bearer <key>` with a valid key.
    """

    status, type, code = 401, "authentication_error", "invalid_api_key"


class Forbidden(GatewayError):
    """The key is good but lacks the scope or the llm; nothing was sent upstream."""

    status, type, code = 403, "permission_error", "insufficient_scope"


class Unpriced(Forbidden):
    """The key has a budget, and the llm no known price; nothing was sent upstream.

    Client action: name a priced llm, or ask for a key with `allow_unpriced`.
    """

    code = "unpriced_model"


class NotFound(GatewayError):
    """There is no such route or object."""

    status, type, code = 404, "invalid_request_error", "not_found"


class MethodNotAllowed(GatewayError):
    """The route exists, but not for this method."""

    status, type, code = 405, "invalid_request_error", "method_not_allowed"

    def __init__(self, message: str, *, allow: str) -> None:
        super().__init__(message)
        self.allow = allow


class ModelNotFound(NotFound):
    """No llm of that name is configured; `GET /v1/models` lists those that are."""

    code = "model_not_found"


class Conflict(GatewayError):
    """The object changed since it was read; nothing was written."""

    status, type, code = 409, "invalid_request_error", "conflict"


class LimitExceeded(GatewayError):
    """The caller has spent its allowance; nothing was sent upstream.

    Client action: wait `retry_after_s`, then retry unchanged; where that is None waiting does not
    help. `headers` are response headers that say how far the limits are used.
    """

    status, type, code = 429, "rate_limit_error", "rate_limit_exceeded"

    def __init__(
        self,
        message: str,
        *,
        retry_after_s: float | None = None,
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.headers = headers


class BudgetExceeded(LimitExceeded):
    """The key has spent its budget in US dollars; nothing was sent upstream.

    Client action: wait until the budget renews (`retry_after_s`), or have it raised.
    """

    code = "budget_exceeded"


class LoginsThrottled(LimitExceeded):
    """Too many logins from this address have failed, and this one would too; its key was not looked up.

    Client action: send a good key, which always passes; or wait `retry_after_s`.
    """

    code = "too_many_failed_logins"


class Unavailable(GatewayError):
    """The gateway cannot serve this now; nothing was sent upstream.

    Client action: retry after `retry_after_s`.
    """

    status, code = 503, "unavailable"


class NoRecord(Unavailable):
    """No durable audit record is possible, so the request is refused (AUDIT_MODE=strict)."""

    code = "audit_unavailable"


class RecordFailed(NoRecord):
    """A defect of the gateway kept the request's record from being made; its answer is withheld.

    The upstream may have answered. The next start records the request as an orphan.
    Client action: report it with the answer's `x-request-id`, then retry.
    """

    status, code = 500, "internal_error"


class DependencyDown(Unavailable):
    """Something is away without which the operator wants nothing served; nothing was sent upstream."""

    code = "dependency_unavailable"


class AllTargetsOpen(Unavailable):
    """The breaker of the llm and of each of its fallbacks is open; nothing was sent upstream."""

    code = "all_targets_open"


class DeadlineExceeded(GatewayError):
    """The request's time budget is spent; attempts so far are in the audit record."""

    status, type, code = 504, "timeout_error", "deadline_exceeded"


class UpstreamFailed(GatewayError):
    """An attempt came to nothing.

    `error_type` is the closed label of the metric and the audit record; `counts`
    says whether the breaker holds it against the llm; `body` is the provider's own
    answer where there was one; `other_key` says that another of the operator's keys can be tried.
    """

    status, type, code = 502, "upstream_error", "upstream_error"
    error_type = "unknown"
    counts = True
    other_key = False
    body: bytes | None = None
    body_format = ""
    """Whose envelope `body` has: a dialect's name."""
    upstream_status: int | None = None


class UpstreamRefused(UpstreamFailed):
    """The provider's own 4xx: the request is at fault, and is not tried elsewhere."""

    status, type, code = 400, "invalid_request_error", "upstream_refused"
    error_type, counts = "bad_request", False


class UpstreamUnreachable(UpstreamFailed):
    """Nothing was read from the upstream: connect, DNS, TLS or a reset before headers."""

    code = "upstream_unreachable"
    error_type = "connect"


class UpstreamTimedOut(UpstreamFailed):
    """The upstream took longer than a configured time: total, first token or idle."""

    status, type, code = 504, "timeout_error", "upstream_timeout"
    error_type = "timeout"


class UpstreamBroken(UpstreamFailed):
    """The upstream's answer is cut short, stalls or is not what its protocol says."""

    code = "upstream_broken"
    error_type = "broken"


class UpstreamUnwell(UpstreamFailed):
    """The upstream answered, but with a 5xx, a 429, or a refusal of the operator's key."""

    code = "upstream_unwell"
    error_type = "server_error"
