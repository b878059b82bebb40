"""How many of the truly nearest a search by meaning looks at: `python -m benchmarks.nearest`.

Vectors as embeddings of texts are, a few dozen traits and some noise: of 100,000 the twenty with the greatest
cosine, and how many of them are among those that are compared exactly. Takes a minute and a half, and 4 GB.
"""

import argparse
import time

import numpy as np
from numpy.typing import NDArray

from tristar.memory.neighbours import Neighbours, pack
from tristar.memory.search import MEANT

SHAPES = ((384, 30), (768, 50), (1024, 100), (1536, 100), (3072, 200))
"""Parts of a vector, and the traits that they come from."""

NOISE = 0.3
"""Of the length that the traits give."""

BEST = 20
ASKED = 60
AT_ONCE = 10_000

Vectors = NDArray[np.float32]


def vectors(count: int, dims: int, traits: int, seed: int) -> Vectors:
    """So many of them; the traits are the same for every seed."""
    source = np.random.default_rng(seed)
    each = np.random.default_rng(0).standard_normal((traits, dims), dtype=np.float32)
    noise = NOISE * traits**0.5 * source.standard_normal((count, dims), dtype=np.float32)
    found: Vectors = source.standard_normal((count, traits), dtype=np.float32) @ each + noise
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def known(several: Vectors) -> Neighbours:
    """All of these, numbered by their rows."""
    table = Neighbours(several.shape[1])
    for first in range(0, len(several), AT_ONCE):
        bits = np.packbits(several[first : first + AT_ONCE] > 0, axis=1, bitorder="little")
        table.put([(first + row, each.tobytes(), "p") for row, each in enumerate(bits)])
    return table


def measure(count: int, dims: int, traits: int) -> tuple[float, float]:
    """The share of the best that is looked at, and the milliseconds of one search."""
    several = vectors(count, dims, traits, 1)
    table, shares, took_s = known(several), [], 0.0
    for asked in vectors(ASKED, dims, traits, 7):
        best = np.argpartition(several @ asked, -BEST)[-BEST:]
        vector = pack(asked.tolist()).vector
        began = time.perf_counter()
        looked_at = table.nearest(vector, MEANT)
        took_s += time.perf_counter() - began
        shares.append(len(set(best.tolist()) & set(looked_at)) / BEST)
    return float(np.mean(shares)), took_s / ASKED * 1e3


def main() -> None:
    """Print a row for each shape."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=100_000)
    asked = parser.parse_args()
    print(f"| parts | of the {BEST} nearest of {asked.entries:,} are found | ms |\n|---|---|---|")
    for dims, traits in SHAPES:
        share, took_ms = measure(asked.entries, dims, traits)
        print(f"| {dims:,} | {share:.1%} | {took_ms:.2f} |", flush=True)


if __name__ == "__main__":
    main()
