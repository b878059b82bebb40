"""The one choke point for secrets: key names that mean one, and values that look like one.

Everything a record carries from outside passes here once, before it is encoded. What is recognised
is replaced by `MARK`; what cannot be recognised (a password in a sentence) is why the default policy
keeps prompts and answers out altogether.

Sources of the shapes: RFC 7519 (JWT), RFC 7468 (PEM), ISO 13616 (IBAN, mod 97), ISO/IEC 7812 (card
numbers, Luhn), and the providers' own documentation for their key prefixes.
"""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

MARK = "[REDACTED]"
"""What stands where a secret stood."""

LONGEST_SECRET_CHARS = 8192
"""Who cuts a text before redacting it keeps this many characters beyond the cut, and cuts again after."""

_SHORTEST_CHARS = 7
_HARMLESS = re.compile(r"[a-z/.]*(?:[0-9]{1,8}[a-z/.]+)*[0-9]{0,8}")
"""A path, a word, a version: lower-case words and short numbers, with nothing that joins or assigns."""

_OUR_SHAPE = r"(?:mem_[0-9a-f]{32}|sha256:[0-9a-f]{64})"
_OURS = re.compile(_OUR_SHAPE)
"""An entry's id, a content's hash: a search's record has forty, and their digits are nobody's card."""

_ALL_OURS = re.compile(rf"{_OUR_SHAPE}(?:\n{_OUR_SHAPE})*")

LONGEST_OURS_CHARS = len("sha256:") + 64
"""No id and no hash of ours has more characters."""

_SECRET_NAMES = frozenset(
    {
        "accesskey", "accesstoken", "apikey", "apisecret", "apitoken", "auth", "authorization", "authtoken",
        "bearer", "bearertoken", "clientsecret", "connectionstring", "cookie", "cookies", "credential",
        "credentials", "csrftoken", "cvc", "cvv", "databaseurl", "dsn", "encryptionkey", "idtoken", "jwt",
        "masterkey", "passphrase", "passwd", "password", "pin", "privatekey", "proxyauthorization", "pwd",
        "refreshtoken", "secret", "secretaccesskey", "secretkey", "secrets", "sessioncookie", "sessiontoken",
        "setcookie", "signingkey", "token", "xapikey", "xauthtoken", "xcsrftoken", "xgoogapikey",
    }
)  # fmt: skip
_SECRET_ENDINGS = ("apikey", "accesskey", "accesstoken", "authtoken", "password", "passwd", "passphrase",
                   "privatekey", "refreshtoken", "secret", "secretkey")  # fmt: skip
_SEPARATORS = str.maketrans("", "", "-_. ")

_CHAR = r"[A-Za-z0-9_\-]"


class _Rule(NamedTuple):
    """What to replace, where at least one of the hints occurs in the lower-cased text."""

    hints: tuple[str, ...]
    pattern: re.Pattern[str]
    replacement: str = MARK


_SHAPES = (
    _Rule(
        ("-----begin",),
        re.compile(r"-----BEGIN [A-Z0-9 ]{0,64}-----.*?(?:-----END [A-Z0-9 ]{0,64}-----|\Z)", re.DOTALL),
    ),
    _Rule(("eyj",), re.compile(rf"(?<!{_CHAR})eyJ{_CHAR}{{6,}}\.{_CHAR}{{4,}}(?:\.{_CHAR}*){{0,3}}")),
    _Rule(("sk-", "rk-", "pk-"), re.compile(rf"(?<![A-Za-z0-9])(?:sk|rk|pk)-{_CHAR}{{4,}}")),
    _Rule(
        ("sk_", "rk_live"),
        re.compile(rf"(?<![A-Za-z0-9])(?:tsk|gsk|csk|sk_live|sk_test|rk_live)_{_CHAR}{{4,}}"),
    ),
    _Rule(("akia", "asia"), re.compile(r"(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])")),
    _Rule(("aiza",), re.compile(rf"(?<![A-Za-z0-9])AIza{_CHAR}{{20,}}")),
    _Rule(
        ("gh", "hf_", "r8_"), re.compile(rf"(?<![A-Za-z0-9])(?:gh[oprsu]_|github_pat_|hf_|r8_){_CHAR}{{16,}}")
    ),
    _Rule(
        ("xox", "glpat-", "xai-", "pplx-"),
        re.compile(rf"(?<![A-Za-z0-9])(?:xox[a-z]-|glpat-|xai-|pplx-){_CHAR}{{10,}}"),
    ),
    _Rule(
        ("bearer",),
        re.compile(
            r"(?i)(?<![A-Za-z0-9])(bearer\s{1,4})"
            r"(?:(?=[^\s]{0,64}[0-9._\-])[A-Za-z0-9._~+/=\-]{8,}|[A-Za-z0-9._~+/=\-]{16,})"
        ),
        rf"\1{MARK}",
    ),
)
"""Values that give themselves away."""

_ASSIGNMENTS = (
    _Rule(("://",), re.compile(r"(://[^\s/:@]{0,256}:)[^\s/@]{1,512}@"), rf"\1{MARK}@"),
    _Rule(
        ("cookie",),
        re.compile(r"(?i)((?:set-)?cookie[\"']?\s{0,4}[=:]\s{0,4}[\"']?)[^\r\n\"']+"),
        rf"\1{MARK}",
    ),
    _Rule(
        ("authorization",),
        re.compile(
            r"(?i)(authorization[\"']?\s{0,4}[=:,]\s{0,4}(?:b?[\"'])?(?:(?:bearer|basic|digest|token)\s{1,4})?)"
            r"[^\s\"',;]+"
        ),
        rf"\1{MARK}",
    ),
    _Rule(
        ("key", "passw", "passphrase", "secret", "pwd", "token", "dsn"),
        re.compile(
            r"(?i)((?:api[_\-]?key|access[_\-]?key|private[_\-]?key|password|passwd|passphrase|secret"
            r"|(?<![A-Za-z0-9])(?:pwd|token|dsn)|(?:access|auth|refresh|id|session|api)[_\-]?token)"
            r"[\"']?\s{0,4}[=:]\s{0,4}(?:b?[\"'])?)[^\s\"',;&})\]]+"
        ),
        rf"\1{MARK}",
    ),
    _Rule(
        ("key=", "sig=", "signature=", "code=", "token="),
        re.compile(r"(?i)([?&](?:key|sig|signature|code|access_token)=)[^&\s\"'#]+"),
        rf"\1{MARK}",
    ),
)
"""Values that stand behind a telling name, and one of `= : ,`."""

_CARD = re.compile(r"(?<![0-9])[2-6](?:[ \-]?[0-9]){12,18}(?![0-9])")
_IBAN = re.compile(
    r"(?<![A-Za-z0-9])[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?(?![A-Za-z0-9])"
)


_MAIL = re.compile(
    r"(?<![\w.+\-])[\w.+\-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9\-]{0,62}\.){1,8}[A-Za-z]{2,24}(?![A-Za-z])"
)
_ADDRESSES = (
    re.compile(r"(?<![\w.])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![\w.]?[0-9])"),
    re.compile(r"(?<![\w:])(?:[0-9a-fA-F]{1,4}:{1,2}){3,7}[0-9a-fA-F]{1,4}(?!\w)"),
)
_PHONE = re.compile(r"(?<![\w+.\-])(?:\+|0|\(0)[0-9]{1,14}\)?(?:[ ()/.\-]{1,3}[0-9]{2,9}){0,7}(?!\w)")


def names_secret(key: str) -> bool:
    """Whether a field of this name holds a secret, whatever its value.

    Exact names, case and `-`, `_`, `.`, space ignored, and endings that leave no doubt
    (`openai_api_key`). Counts stay: `max_tokens`, `tokens_input`, `token_count` are no secrets.
    """
    name = key[:64].lower().translate(_SEPARATORS)
    return name in _SECRET_NAMES or name.endswith(_SECRET_ENDINGS)


def text(value: str) -> str:
    """The text with everything that looks like a secret replaced by `MARK`; idempotent.

    Linear in the text's length. A text without a hint of a secret is returned as it is.
    """
    if len(value) < _SHORTEST_CHARS or _HARMLESS.fullmatch(value) or _OURS.fullmatch(value):
        return value
    lowered = value.lower()
    value = _applied(_SHAPES, value, lowered)
    if "=" in value or ":" in value or "," in value:
        value = _applied(_ASSIGNMENTS, value, lowered)
    return _numbers(value)


def all_ours(values: Sequence[object]) -> bool:
    """Whether these are plain texts, each an id or a hash of ours, which `text` would give back as they are.

    One look at all of them, because a search's record has forty.
    """
    if set(map(type, values)) != {str}:
        return False
    lines = "\n".join(values)  # type: ignore[arg-type]  # each is a `str`: the types have just been compared
    return lines.count("\n") == len(values) - 1 and _ALL_OURS.fullmatch(lines) is not None


def personal(value: str) -> str:
    """As `text`, and what identifies a person goes too: mail addresses, telephone numbers, IP addresses.

    What cannot be told from other words, a name say, stays.
    """
    value = text(value)
    if "@" in value:
        value = _MAIL.sub(MARK, value)
    for pattern in _ADDRESSES:
        value = pattern.sub(MARK, value)
    return _PHONE.sub(_if(_is_phone), value)


def number(value: int) -> int | str:
    """The number, or `MARK` if its digits are a valid card number."""
    if value < 10**12 or value >= 10**19:
        return value
    return MARK if _is_card(str(value)) else value


def _applied(rules: tuple[_Rule, ...], value: str, lowered: str) -> str:
    for hints, pattern, replacement in rules:
        for hint in hints:
            if hint in lowered:
                value = pattern.sub(replacement, value)
                break
    return value


def _numbers(value: str) -> str:
    if len(value) < 13:
        return value
    value = _CARD.sub(_if(_is_card), value)
    return _IBAN.sub(_if(_is_iban), value)


def _if(holds: Callable[[str], bool]) -> Callable[[re.Match[str]], str]:
    return lambda match: MARK if holds(match[0]) else match[0]


def _is_card(value: str) -> bool:
    """Luhn over 13 to 19 digits that begin as an issuer's do (2221-2720, 3, 4, 5, 6).

    The first digit keeps milliseconds and nanoseconds since 1970 out of it.
    """
    digits = [ord(char) - 48 for char in value if char.isdigit()]
    if not 13 <= len(digits) <= 19 or not 2 <= digits[0] <= 6:
        return False
    if digits[0] == 2 and not 2221 <= int("".join(map(str, digits[:4]))) <= 2720:
        return False
    doubled = sum(sum(divmod(digit * 2, 10)) for digit in digits[-2::-2])
    return (sum(digits[-1::-2]) + doubled) % 10 == 0


def _is_phone(value: str) -> bool:
    """Seven to fifteen digits (ITU-T E.164), and more than digits alone."""
    return 7 <= sum(char.isdigit() for char in value) <= 15 and not value.isdigit()


def _is_iban(value: str) -> bool:
    compact = value.replace(" ", "")
    if not 15 <= len(compact) <= 34:
        return False
    return int("".join(str(int(char, 36)) for char in compact[4:] + compact[:4])) % 97 == 1
