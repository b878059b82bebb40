"""The kinds of text: addresses, paths, names and keys, each with its reader."""

import ipaddress
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, parse_qsl, urlsplit, urlunsplit

from tristar.settings.kinds import Rejected, Text

ROUTES: Final = ("/v1", "/mcp", "/admin", "/health", "/console", "/openapi.json", "/docs")
"""The roots that the gateway serves itself; `METRICS_PATH` must stay outside them."""

ADMIN_KEY_MIN_CHARS: Final = 16

_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?")
_URL_PATH = re.compile(r"(?:/[A-Za-z0-9_~.-]+)+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PRICE_LIST = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_VISIBLE = re.compile(r"[!-~]+")
_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_PLACE = re.compile(r"[{}]")
_KEY_WORD = re.compile(r"key|token|secret|password|signature|^sig$|^code$", re.IGNORECASE)
_SYSLOG_TLS_PORT: Final = 6514


def _host(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        if len(text) > 253 or not _HOST_NAME.fullmatch(text) or re.fullmatch(r"[0-9.]+", text):
            raise Rejected(f"must be {HOST.allowed}") from None
        return text


def _price_list(text: str) -> str:
    if not _PRICE_LIST.fullmatch(text):
        raise Rejected(f"must be {PRICE_LIST.allowed}")
    return text


def _path(text: str) -> Path:
    if "\0" in text or not text.strip():
        raise Rejected(f"must be {PATH.allowed}")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise Rejected("begins with ~ and a user that this system does not know") from None


def _metrics_path(text: str) -> str:
    if len(text) > 200 or not _URL_PATH.fullmatch(text) or "/.." in text or "/./" in text:
        raise Rejected(f"must be {METRICS_PATH.allowed}")
    root = "/" + text.split("/")[1]
    if root in ROUTES:
        raise Rejected(f"would hide the gateway's own route {root}")
    return text


def _split(text: str, schemes: Sequence[str]) -> SplitResult:
    """The parts of a URL with a host, a valid port and one of these schemes."""
    if not _VISIBLE.fullmatch(text) or len(text) > 2000:
        raise Rejected("must be a URL without spaces")
    try:
        parts = urlsplit(text)
        good = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise Rejected("must be a URL such as " + " or ".join(f"{scheme}://host" for scheme in schemes))
    return parts


def base_url(text: str) -> str:
    """The address of a provider, without a trailing slash of its path.

    Raises:
        Rejected: not http(s), no host, or it carries a user, a key, a fragment or an unknown place.
    """
    parts = _split(text, ("https", "http"))
    if parts.username is not None or parts.password is not None:
        raise Rejected("must not hold a user or password; name the key's variable in api_key_env")
    if parts.fragment:
        raise Rejected("must not hold a fragment")
    if any(_KEY_WORD.search(name) for name, _ in parse_qsl(parts.query, keep_blank_values=True)):
        raise Rejected(
            'must not hold a key in its query; name its variable in api_key_env, auth = "query-key"'
        )
    if _PLACE.search(parts.path.replace("{model}", "")) or _PLACE.search(parts.query + parts.netloc):
        raise Rejected("must hold no { or } but in {model}, as a part of its path")
    return urlunsplit(parts._replace(path=parts.path.rstrip("/")))


def server_url(text: str, port: int) -> str:
    """The OpenAI-compatible address of an operator's own server, from any form that `OLLAMA_HOST` takes.

    Ollama itself accepts `host`, `host:port`, `:port` and URLs, with its own `port` unless a scheme says
    otherwise; an address to listen on everywhere is reached over loopback. A path `/v1` may be written out.
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "http", text
    default_port = port if not separator else {"http": 80, "https": 443}.get(scheme, port)
    authority, slash, path = rest.partition("/")
    if authority.count(":") > 1 and not authority.startswith("["):
        authority = f"[{authority}]"
    if authority.startswith(":") or not authority:
        authority = "127.0.0.1" + authority
    parts = _split(f"{scheme}://{authority}{slash}{path}", ("http", "https"))
    if parts.username is not None or parts.query or parts.fragment:
        raise Rejected("must be an address only: no user, query or fragment")
    host = parts.hostname or ""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # nosec B104 # noqa: S104 - read, not bound
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}:{parts.port or default_port}{parts.path.rstrip('/').removesuffix('/v1')}/v1"


def place(text: str) -> str:
    """What a variable puts into a provider's address: a whole address, or one part of a path or query.

    Raises:
        Rejected: it is neither.
    """
    if "://" in text:
        return base_url(text)
    if not _PART.fullmatch(text):
        raise Rejected("must be an http:// or https:// URL, or letters, digits, dots, dashes and underscores")
    return text


def _redis_url(text: str) -> str:
    _split(text, ("redis", "rediss"))
    return text


def _database_url(text: str) -> str:
    if text.startswith("sqlite:///") and len(text) > len("sqlite:///"):
        return text
    _split(text, ("postgresql",))
    return text


def _admin_key(text: str) -> str:
    if len(text) < ADMIN_KEY_MIN_CHARS or len(text) > 1000 or not _VISIBLE.fullmatch(text):
        raise Rejected(f"must be {ADMIN_KEY.allowed}")
    return text


def _api_key(text: str) -> str:
    if not _VISIBLE.fullmatch(text) or len(text) > 10_000:
        raise Rejected(f"must be {API_KEY.allowed}")
    return text


def _variable(text: str) -> str:
    if not _VARIABLE.fullmatch(text) or len(text) > 200:
        raise Rejected(f"must be {VARIABLE.allowed}")
    return text


def _model(text: str) -> str:
    if not text.strip() or len(text) > 200 or not text.isprintable():
        raise Rejected(f"must be {MODEL.allowed}")
    return text


def _sink_url(text: str) -> str:
    """The address of a receiver. A query is its own; a user or password belongs into a variable."""
    parts = _split(text, ("https", "http"))
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise Rejected("must not hold a user, password or fragment; secrets are named by their variable")
    return text


def _nats_url(text: str) -> str:
    parts = _split(text, ("nats", "tls"))
    if parts.username is not None or parts.password is not None:
        raise Rejected("must not hold a user or password; name them in user and password_env, or token_env")
    return text


def _address(text: str) -> tuple[str, int]:
    host, separator, port = text.rpartition(":")
    if not separator or text.endswith("]") or (text.count(":") > 1 and not text.startswith("[")):
        host, port = text, str(_SYSLOG_TLS_PORT)
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65_535:
        raise Rejected(f"must be {ADDRESS.allowed}")
    return _host(host.removeprefix("[").removesuffix("]")), int(port)


def _subject(text: str) -> str:
    if len(text) > 200 or not re.fullmatch(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*", text):
        raise Rejected(f"must be {SUBJECT.allowed}")
    return text


def _word(text: str) -> str:
    if not _VISIBLE.fullmatch(text) or len(text) > 200:
        raise Rejected(f"must be {WORD.allowed}")
    return text


def _notice(text: str) -> str:
    if len(text) > 200 or not text.isprintable():
        raise Rejected(f"must be {NOTICE.allowed}")
    return text.strip()


HOST: Final = Text("an IP address or host name, without a port", _host)
PATH: Final = Text("a path", _path)
METRICS_PATH: Final = Text("a path that begins with / and is none of the gateway's own routes", _metrics_path)
BASE_URL: Final = Text("an http:// or https:// URL", base_url)
SERVER_ADDRESS: Final = "a host, host:port or URL"
REDIS_URL: Final = Text("a redis:// or rediss:// URL", _redis_url)
DATABASE_URL: Final = Text("a postgresql:// or sqlite:/// URL", _database_url)
ADMIN_KEY: Final = Text(f"{ADMIN_KEY_MIN_CHARS} to 1000 visible ASCII characters, without spaces", _admin_key)
API_KEY: Final = Text("visible ASCII characters, without spaces", _api_key)
PRICE_LIST: Final = Text("1 to 64 lower-case letters, digits or dashes", _price_list)
VARIABLE: Final = Text("the name of an environment variable", _variable)
MODEL: Final = Text("1 to 200 printable characters", _model)
SINK_URL: Final = Text("an http:// or https:// URL", _sink_url)
NATS_URL: Final = Text("a nats:// or tls:// URL", _nats_url)
ADDRESS: Final = Text("a host name or IP address, with :port or without", _address)
SUBJECT: Final = Text("a NATS subject without wildcards", _subject)
NOTICE: Final = Text("at most 200 printable characters, on one line", _notice)
WORD: Final = Text("1 to 200 visible ASCII characters, without spaces", _word)
