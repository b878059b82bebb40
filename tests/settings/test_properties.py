"""Whatever is configured, loading gives settings or faults, and nothing else."""

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tristar.errors import SettingsInvalid
from tristar.providers.registry import KNOWN, PROVIDER_VARIABLES
from tristar.settings import load
from tristar.settings.sinktable import ANCHORS, SINKS
from tristar.settings.table import SECTIONS, VARIABLES

NAMES = [*(row.name for row in VARIABLES), *sorted(PROVIDER_VARIABLES)]
KEYS = [row.name for rows in SECTIONS.values() for row in rows] + ["breaker", "x"]
OUTLET_KEYS = sorted({row.name for types in (SINKS, ANCHORS) for rows in types.values() for row in rows})
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60)
SCALARS = st.one_of(
    st.integers().map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.sampled_from(
        ["true", "false", "inf", "nan", "[]", "{}", '["a", "p/b"]', "1979-05-27", '"p"', '"http://h"']
    ),
)
LINES = st.one_of(
    st.sampled_from(
        ["[server]", "[auth]", "[providers.p]", "[llms.a]", "[llms.a.breaker]", "[llms.b]", "[[llms]]"]
    ),
    st.builds("{} = {}".format, st.sampled_from(KEYS), SCALARS),
)


def load_or_refuse(environ: dict[str, str], toml: bytes | None = None) -> SettingsInvalid | None:
    """The refusal, or None where the settings are good; any other exception is a defect."""
    with tempfile.TemporaryDirectory() as directory:
        if toml is not None:
            Path(directory, "tristar.toml").write_bytes(toml)
        try:
            load(environ, Path(directory))
        except SettingsInvalid as refusal:
            return refusal
    return None


@given(st.dictionaries(st.sampled_from(NAMES), TEXT))
def test_any_environment_gives_settings_or_faults(environ: dict[str, str]) -> None:
    """No value of a variable can crash the start, or hide its own name."""
    environ.pop("TRISTAR_CONFIG", None)
    refusal = load_or_refuse(environ)

    assert refusal is None or {fault.key for fault in refusal.faults} <= set(NAMES)


@given(st.lists(LINES, max_size=25))
def test_any_file_gives_settings_or_faults(lines: list[str]) -> None:
    """No combination of known keys and values can crash the start."""
    refusal = load_or_refuse({}, "\n".join(lines).encode())

    assert refusal is None or all(fault.problem and fault.fix for fault in refusal.faults)


@given(
    st.sampled_from(["sinks.a", "anchors.a", 'sinks."\u00e9"']),
    st.sampled_from([*SINKS, *ANCHORS, "kafka"]),
    st.dictionaries(st.sampled_from(OUTLET_KEYS), SCALARS, max_size=8),
)
def test_any_sink_or_anchor_gives_settings_or_faults(table: str, kind: str, keys: dict[str, str]) -> None:
    """Nor can any table of the audit log's outlets."""
    lines = [f"[audit.{table}]", f'type = "{kind}"', *(f"{name} = {value}" for name, value in keys.items())]
    refusal = load_or_refuse({}, "\n".join(lines).encode())

    assert refusal is None or all(fault.problem and fault.fix for fault in refusal.faults)


@given(st.binary(max_size=200))
def test_any_bytes_give_settings_or_faults(data: bytes) -> None:
    """A file that is no configuration at all is refused, not crashed on."""
    refusal = load_or_refuse({}, data)

    assert refusal is None or refusal.faults


@given(
    st.sampled_from(NAMES), st.from_regex(r"[a-z0-9]{24}", fullmatch=True), st.sampled_from([" ", "\u00e9"])
)
def test_a_refused_secret_is_never_quoted(name: str, secret: str, spoiler: str) -> None:
    """Keys, and URLs that may carry a password, are in no message."""
    addresses = {name for row in KNOWN for name in (*row.places, *([row.variable] if row.is_server else []))}
    public = {row.name for row in VARIABLES if not row.secret} | addresses
    refusal = load_or_refuse({name: f"{secret}{spoiler}{secret}"}) if name not in public else None

    assert refusal is None or secret not in str(refusal)
