"""Random histories of reservations, for every limiter that should follow the same rules."""

from dataclasses import dataclass

from hypothesis import strategies as st

from tristar.limits.allowance import Allowance, Amount, Subject

START_MS = 1_756_684_740_000
"""2025-08-31T23:59:00Z: a month is about to end."""

KEY = Subject("key:a", "key", Allowance(4, 1000, 3, 2000, 5000))
LLM = Subject("llm:b", "llm", Allowance(7, 1500, 5))
BOTH = Subject("key:a+llm:b", "key_llm", Allowance(tokens_per_minute=700, budget_day_microusd=1500))
CHOICES = ((KEY,), (LLM,), (KEY, LLM), (KEY, LLM, BOTH))


@dataclass(frozen=True)
class Advance:
    """Time goes on; in eighths of a second, which floats hold exactly."""

    ms: int


@dataclass(frozen=True)
class Reserve:
    """One request."""

    subjects: tuple[Subject, ...]
    need: Amount
    lease_ms: int


@dataclass(frozen=True)
class Settle:
    """The end of an earlier request, perhaps for the second time."""

    which: int
    actual: Amount | None


Step = Advance | Reserve | Settle

_ms = st.one_of(
    st.integers(0, 40), st.integers(0, 800), st.sampled_from([480, 8 * 3600, 8 * 86_400, 8 * 86_400 * 31])
).map(lambda eighths: eighths * 125)
_amounts = st.builds(Amount, st.sampled_from([0, 1, 100, 350, 900, 1200]), st.sampled_from([0, 1, 400, 1600]))
steps = st.lists(
    st.one_of(
        st.builds(Advance, _ms),
        st.builds(Reserve, st.sampled_from(CHOICES), _amounts, st.integers(1, 480).map(lambda n: n * 125)),
        st.builds(Settle, st.integers(0, 30), st.none() | _amounts),
    ),
    max_size=60,
)
