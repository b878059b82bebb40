"""The page of all known providers, written from their rows."""

from collections.abc import Iterable, Sequence

from tristar.providers.registry import AUTH_HEADERS, KNOWN, KnownProvider

_HEAD = """# Providers

Written from the gateway's own table by `make docs`; `make check` compares.

A provider is on as soon as all its variables are set; its models then work as `provider/model`, with no file
at all. A `[providers.NAME]` of the same name in the configuration file starts from the row below and changes
what it names (`base_url`, `dialect`, `auth`, `api_key_env`); a key is sent only where the table names its
variable. `tristar models` lists what is on.
"""

_LOCAL = """## Servers of your own

The variable holds the address: a host, host:port or URL, with or without `/v1`.
"""

_OTHERS = """## Everything else

Whatever speaks one of the dialects works under a name of your own:

```toml
[providers.mine]
dialect = "openai"
base_url = "https://llm.example.com/v1" # {model} stands for the model; a query goes behind the path
api_key_env = "MINE_KEY"
auth = "bearer"
```

`auth` says how the key travels:

"""

_KEYS = """
## Several keys

A variable may hold several keys separated by commas, and `api_key_env` may name several variables:

```toml
api_key_env = ["OPENAI_KEY_A", "OPENAI_KEY_B"]
```

They are used in turn. A key that the provider refuses (401, 403), or whose quota is spent (402, or 429 with
`insufficient_quota`), is set aside for five minutes, or for as long as the provider's Retry-After says, an
hour at most; the request goes on with the next key at once, and the breaker does not count it. All workers
of a host know of it; each host finds out for itself. When every key is set aside, the one whose time is over
first is used, and what it meets is the llm's own failure: fall back, else 502 (429 where the quota is
spent).

A key that is set aside, or the only key once it is refused, is one line in the log, one
`dependency_transition` in the audit log, and 0.5 in
`ailinux_dependency_up{dependency="key:PROVIDER:NUMBER"}` (0: no key is left), which the alert
DependencyDegraded watches; `/health/ready` gives the reason. It is well again when, after that time, a
request succeeds with it. The reason names its variable and the first 8 hexadecimal digits of its SHA-256,
never the key: `printf %s "$KEY" | sha256sum` tells which it is.

## Not yet

Amazon Bedrock and Google Vertex AI want signed requests or short-lived credentials. They wait until that can
be tested against the real services; until then, reach them through a gateway that speaks one of the dialects.
"""


def render() -> str:
    """The whole page as Markdown, ending in one newline."""
    hosted = [row for row in KNOWN if not row.is_server]
    local = [row for row in KNOWN if row.is_server]
    return "\n".join([_HEAD, _table(hosted), _LOCAL, _table(local), _OTHERS]) + _schemes() + _KEYS


def _table(rows: Sequence[KnownProvider]) -> str:
    lines = ["| provider | name | variables | dialect | auth | address |", "|---|---|---|---|---|---|"]
    lines += [_line(row) for row in rows]
    notes = [f"- {row.title}: {row.note}." for row in rows if row.note]
    return "\n".join([*lines, *([""] if notes else []), *notes]) + "\n"


def _line(row: KnownProvider) -> str:
    address = ("such as " if row.is_server else "") + f"`{row.base_url}`"
    cells = (
        f"[{row.title}]({row.reference})",
        f"`{row.name}`",
        _variables(row),
        row.dialect,
        row.auth,
        address,
    )
    return f"| {' | '.join(cells)} |"


def _variables(row: KnownProvider) -> str:
    optional = [f"`{name}` (else `{value}`)" for name, value in row.defaults]
    if row.key_variable is not None:
        optional.append(f"`{row.key_variable}` (a key, if it asks for one)")
    return ", ".join([*(f"`{name}`" for name in row.needed), *optional])


def _schemes() -> str:
    return "\n".join(["| `auth` | travels as |", "|---|---|", *_scheme_lines()]) + "\n"


def _scheme_lines() -> Iterable[str]:
    for scheme, header in AUTH_HEADERS.items():
        yield f"| `{scheme}` | {f'`{header}KEY`' if header else 'the parameter `key` of the address'} |"
