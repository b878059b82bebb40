"""CEF, LEEF and RFC 5424, read back by parsers that share no code with what wrote them."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.audit.formats.records import AWKWARD, awkward, every_kind, fields
from tests.audit.specimens import exchange, scribe

from tristar.audit.formats import cef, leef, syslog
from tristar.audit.formats.fields import Fields

TEXTS = st.one_of(st.sampled_from(AWKWARD), st.text(st.sampled_from('|=\\]"\n\r\t ax1[^😀{}:'), max_size=30))


def shown(record: Fields, name: str) -> str:
    """A field's text as the log has it."""
    return record.text(name) or ""


def split_escaped(text: str, separator: str, most: int) -> list[str]:
    """Split at unescaped separators, one character at a time; a backslash keeps what follows it."""
    parts, current, escaped = [], "", False
    for index, char in enumerate(text):
        if escaped:
            current, escaped = current + "\\" + char, False
        elif char == "\\":
            escaped = True
        elif char == separator:
            parts.append(current)
            current = ""
            if len(parts) == most:
                return [*parts, text[index + 1 :]]
        else:
            current += char
    return [*parts, current]


def unescape(text: str, meanings: dict[str, str]) -> str:
    """Replace every backslash pair by what it means; a pair without a meaning is an error."""
    out, chars = "", iter(text)
    for char in chars:
        out += meanings[next(chars)] if char == "\\" else char
    return out


def parse_cef(raw: bytes) -> tuple[list[str], dict[str, str]]:
    """Header fields and extension of one CEF line."""
    text = raw.decode()
    assert not {"\n", "\r"} & set(text)
    *header, extension = split_escaped(text, "|", 7)
    assert header[0] == "CEF:0"
    found = list(re.finditer(r"(?:^| )(\w+)=", extension))
    ends = [match.start() for match in found[1:]] + [len(extension)]
    values = {m[1]: extension[m.end() : end] for m, end in zip(found, ends, strict=True)}
    meanings = {"\\": "\\", "=": "=", "n": "\n", "r": "\r"}
    return (
        [unescape(part, {"\\": "\\", "|": "|"}) for part in header],
        {key: unescape(value, meanings) for key, value in values.items()},
    )


def parse_leef(raw: bytes) -> tuple[list[str], dict[str, str]]:
    """Header fields and attributes of one LEEF 2.0 line."""
    text = raw.decode()
    assert not {"\n", "\r"} & set(text)
    *header, attributes = split_escaped(text, "|", 6)
    assert (header[0], header[5]) == ("LEEF:2.0", "x09")
    meanings = {"\\": "\\", "|": "|", "n": "\n", "r": "\r", "t": "\t"}
    pairs = [pair.split("=", 1) for pair in attributes.split("\t")]
    return [unescape(part, meanings) for part in header], {
        key: unescape(value, meanings) for key, value in pairs
    }


SYSLOG = re.compile(
    rb"<(\d{1,3})>1 (\S+) ([!-~]{1,255}) ([!-~]{1,48}) ([!-~]{1,128}) ([!-~]{1,32}) "
    rb'\[([!-<>-~]+?)((?: [!-<>-~]{1,32}="(?:[^"\\\]]|\\.)*")*)\] (\xef\xbb\xbf.*)',
    re.DOTALL,
)


def parse_syslog(raw: bytes) -> tuple[list[str], dict[str, str], str]:
    """Header, structured data and text of one RFC 5424 message."""
    assert not set(b"\n\r") & set(raw)
    match = SYSLOG.fullmatch(raw)
    assert match is not None, raw
    pairs = re.findall(r' ([^=]+)="((?:[^"\\\]]|\\.)*)"', match[8].decode(), re.DOTALL)
    values = {key: re.sub(r'\\(["\\\]])', r"\1", value) for key, value in pairs}
    return [part.decode() for part in match.groups()[:7]], values, match[9].decode("utf-8-sig")


@given(TEXTS)
def test_cef_comes_back_as_it_was(text: str) -> None:
    """Any text in action, resource, ids and details."""
    record = awkward(text)

    header, extension = parse_cef(cef.render(record))

    assert header[4] == re.sub(r"[\n\r]", " ", shown(record, "action") or "unknown")
    assert extension.get("request", "") == shown(record, "resource")
    assert extension.get("suid", "") == shown(record, "user_id")
    assert extension.get("cs1", "") == shown(record, "trace_id")
    assert json.loads(extension["msg"]) == record.details


@given(TEXTS)
def test_leef_comes_back_as_it_was(text: str) -> None:
    """Any text in action, resource, ids and details."""
    record = awkward(text)

    header, attributes = parse_leef(leef.render(record))

    assert header[4] == (shown(record, "action") or "unknown")
    assert attributes.get("resource", "") == shown(record, "resource")
    assert attributes.get("usrName", "") == shown(record, "user_id")
    assert attributes.get("traceId", "") == shown(record, "trace_id")
    assert json.loads(attributes["details"]) == record.details


@given(TEXTS)
def test_syslog_comes_back_as_it_was(text: str) -> None:
    """Structured data with control characters as pictures; the message text is the log's own line."""
    record = awkward(text)

    header, values, message = parse_syslog(syslog.render(record))

    assert header[0] == str(13 * 8 + 4)
    assert message.encode() == record.line
    pictures = {code: 0x2400 + code for code in range(32)} | {0x7F: 0x2421}
    assert values.get("user_id", "") == shown(record, "user_id").translate(pictures)
    assert values.get("resource", "") == shown(record, "resource").translate(pictures)
    assert values["seq"] == "7"


@pytest.mark.parametrize("text", AWKWARD)
def test_awkward_text_is_one_line_in_every_format(text: str) -> None:
    """Each of `| = \\ ] "`, line breaks, tabs, emoji, escapes that are none."""
    record = awkward(text)

    assert parse_cef(cef.render(record))[1]["act"] == shown(record, "action")
    assert parse_leef(leef.render(record))[1]["cat"] == shown(record, "action")
    assert parse_syslog(syslog.render(record))[2].encode() == record.line


@pytest.mark.parametrize(("name", "record"), every_kind().items(), ids=every_kind().keys())
def test_every_kind_of_record_can_be_read_back(name: str, record: Fields) -> None:
    """Each action, outcome and foreign record."""
    assert parse_cef(cef.render(record))[0][1:3] == ["AILinux", "TriStar"], name
    assert parse_leef(leef.render(record))[0][1:3] == ["AILinux", "TriStar"], name
    assert parse_syslog(syslog.render(record))[0][6] == "tristar@32473", name


def test_call_in_each_format() -> None:
    """What a rule would filter by stands where the format's readers look for it."""
    record = fields(scribe().from_exchange(exchange()))

    extension, attributes = parse_cef(cef.render(record))[1], parse_leef(leef.render(record))[1]
    header, values, _ = parse_syslog(syslog.render(record))

    assert (extension["src"], extension["rt"], extension["cn2"]) == ("192.0.2.7", "1750000001023", "200")
    assert (extension["cn1Label"], extension["cn1"], extension["outcome"]) == ("seq", "7", "success")
    assert (attributes["src"], attributes["devTime"], attributes["sev"]) == (
        "192.0.2.7",
        "1750000001023",
        "2",
    )
    assert header == [
        "110",
        "2025-06-15T15:06:41.023456Z",
        "host-1",
        "ailinux-backend",
        "0",
        "llm_call",
        "tristar@32473",
    ]
    assert values["trace_id"] == "0af7651916cd43dd8448eb211c80319c"


def test_ipv6_has_its_own_cef_field() -> None:
    """`src` is for IPv4 alone."""
    extension = parse_cef(cef.render(every_kind()["ipv6"]))[1]

    assert (extension["c6a2"], extension["c6a2Label"]) == ("2001:db8::1", "Source IPv6 Address")
    assert "src" not in extension


@pytest.mark.parametrize(
    ("level", "severities"),
    [
        ("DEBUG", ("1", "1", 111)),
        ("INFO", ("3", "2", 110)),
        ("WARNING", ("5", "5", 108)),
        ("ERROR", ("7", "7", 107)),
        ("CRITICAL", ("10", "10", 106)),
        ("SECURITY", ("8", "8", 108)),
    ],
)
def test_levels_become_severities(level: str, severities: tuple[str, str, int]) -> None:
    """Each format has its own scale."""
    record = fields(scribe().event("x", "/", level))

    assert parse_cef(cef.render(record))[0][6] == severities[0]
    assert parse_leef(leef.render(record))[1]["sev"] == severities[1]
    assert parse_syslog(syslog.render(record))[0][0] == str(severities[2])
