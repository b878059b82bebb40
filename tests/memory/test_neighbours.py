"""Vectors as numbers: packed, compared, and the nearest of many."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tristar.memory.neighbours import Neighbours, likeness, pack
from tristar.memory.search import MEANT

DIMS = 300
TRAITS = 30


def some(count: int, seed: int = 1, dims: int = DIMS) -> list[list[float]]:
    """Vectors of a few dozen traits and some noise, as embeddings of texts are."""
    random = np.random.default_rng(seed)
    traits = np.random.default_rng(0).normal(size=(TRAITS, dims))
    noise = 0.3 * TRAITS**0.5 * random.normal(size=(count, dims))
    found: list[list[float]] = (random.normal(size=(count, TRAITS)) @ traits + noise).tolist()
    return found


def cosines(asked: list[float], others: list[list[float]]) -> list[float]:
    """The truth, in double precision."""
    every = np.asarray(others)
    found: list[float] = (every @ asked / (np.linalg.norm(every, axis=1) * np.linalg.norm(asked))).tolist()
    return found


@pytest.mark.parametrize("parts", [[], [0.0, 0.0], [math.nan, 1.0], [math.inf, 1.0], [1e308, 1e308]])
def test_what_has_no_direction_is_no_vector(parts: list[float]) -> None:
    """Nothing could be near to it."""
    with pytest.raises(ValueError, match="no direction"):
        pack(parts)


@given(st.lists(st.floats(-1e6, 1e6).filter(lambda part: abs(part) > 1e-3), min_size=1, max_size=200))
def test_a_packed_vector_points_the_same_way(parts: list[float]) -> None:
    """Half precision costs a thousandth at most."""
    packed = pack(parts)

    assert packed.dims == len(parts)
    assert len(packed.vector) == 2 * len(parts)
    assert likeness(packed.vector, packed.vector)[0] == pytest.approx(1.0, abs=2e-3)


def test_likeness_is_the_cosine() -> None:
    """Of each of the others, in their order."""
    asked, *others = some(30)
    found = likeness(pack(asked).vector, b"".join(pack(other).vector for other in others))

    assert found == pytest.approx(cosines(asked, others), abs=2e-3)


def test_the_nearest_are_those_of_the_greatest_likeness() -> None:
    """The ten best of five thousand are among those that a search looks at exactly."""
    vectors = some(5000)
    known = Neighbours(DIMS)
    known.put([(seq, pack(vector).bits, "p") for seq, vector in enumerate(vectors)])
    missed = 0
    for asked in some(20, seed=7):
        truth = np.argsort(cosines(asked, vectors))[-10:].tolist()
        missed += len(set(truth) - set(known.nearest(pack(asked).vector, MEANT)))

    assert missed <= 4, "of two hundred"


@pytest.mark.parametrize("dims", [64, 300, 768])
@pytest.mark.parametrize("share", [1, 2, 20])
def test_the_nearest_of_a_project_are_found_however_few_they_are(share: int, dims: int) -> None:
    """Those that a sieve by some of the words lets through: the ten best of one in so many."""
    vectors = some(6000, dims=dims)
    known = Neighbours(dims)
    known.put([(seq, pack(vector).bits, str(seq % share)) for seq, vector in enumerate(vectors)])
    theirs = vectors[::share]
    missed = 0
    for asked in some(20, seed=7, dims=dims):
        truth = (np.argsort(cosines(asked, theirs))[-10:] * share).tolist()
        found = known.nearest(pack(asked).vector, MEANT, frozenset({"0"}))
        assert all(seq % share == 0 for seq in found)
        assert len(set(found)) == MEANT
        missed += len(set(truth) - set(found))

    assert missed <= (4 if dims > 64 else 30), "of two hundred"


def test_what_is_gone_or_replaced_is_not_found_as_it_was() -> None:
    """While the table grows, shrinks and grows again."""
    vectors = some(3000)
    known = Neighbours(DIMS)
    for round_ in range(3):
        for first in range(0, 3000, 700):
            some_of_them = list(enumerate(vectors))[first : first + 700]
            known.put([(seq, pack(vector).bits, "p") for seq, vector in some_of_them])
        for seq in range(0, 3000, 2):
            known.drop(seq)
        found = known.nearest(pack(vectors[0]).vector, 3000)

        assert sorted(found) == list(range(1, 3000, 2)), round_
    assert len(known) == 1500


def test_only_those_of_the_projects_and_among_the_given_are_found() -> None:
    """Even where all others are nearer."""
    known = Neighbours(DIMS)
    vectors = some(200)
    for seq, vector in enumerate(vectors):
        known.put([(seq, pack(vector).bits, "red" if seq % 2 else "blue")])
    asked = pack(vectors[0]).vector

    assert set(known.nearest(asked, 200, frozenset({"red"}))) == set(range(1, 200, 2))
    assert known.nearest(asked, 5, frozenset({"green"})) == []
    assert set(known.nearest(asked, 200, among=[3, 4, 999])) == {3, 4}
    assert Neighbours(DIMS).nearest(asked, 5) == []
