"""The signature of a call goes with the thoughts before it, and comes back to the call."""

from hypothesis import given
from hypothesis import strategies as st

from tristar.providers.neutral import Part, Text, Thinking, ToolUse
from tristar.providers.seal import sealed, unsealed

words = st.text(min_size=1, max_size=5)
signatures = st.none() | words
parts: st.SearchStrategy[list[Part]] = st.lists(
    st.builds(Text, words)
    | st.builds(Thinking, words, signatures)
    | st.builds(lambda data: Thinking(redacted=data), words)
    | st.builds(lambda name, signed: ToolUse(name, name, "{}", signature=signed), words, signatures),
    max_size=6,
)


@given(parts=parts)
def test_what_is_sealed_comes_back(parts: list[Part]) -> None:
    """Every signature at the call that it came with, thoughts and texts as they were."""
    assert unsealed(sealed(parts)) == parts


@given(parts=parts)
def test_a_sealed_signature_is_marked_as_ours(parts: list[Part]) -> None:
    """So that it is told from a provider's own."""
    marked = [each for each in sealed(parts) if isinstance(each, Thinking) and each not in parts]

    assert all((thought.signature or "").startswith("tristar-") for thought in marked)
    assert len(marked) <= sum(isinstance(each, ToolUse) and each.signature is not None for each in parts)


def test_a_signature_without_a_call_is_left_out() -> None:
    """A client may have cut its history there."""
    assert unsealed([Thinking("Hm.", "tristar-call:c2ln"), Text("So.")]) == [Thinking("Hm."), Text("So.")]
