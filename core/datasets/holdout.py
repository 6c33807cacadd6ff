"""Set some rows of data without an evaluation split aside, the same ones every time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SHARE = 0.05
MAX_ROWS = 200
_SEED = 20_260_101
"""Fixed: two runs on the same file are compared on the same held-out rows, whatever their seed."""


def held_out_count(rows: int) -> int:
    """5 % of the rows, at least one, at most 200; none of a single row, which is trained."""
    return min(MAX_ROWS, max(1, round(rows * SHARE))) if rows > 1 else 0


def choose_held_out(row_counts: Sequence[int]) -> list[frozenset[int]]:
    """Which rows of each file are evaluated on, by index within the file."""
    total = sum(row_counts)
    picks = np.random.default_rng([_SEED, total]).permutation(total)[: held_out_count(total)]
    chosen: list[frozenset[int]] = []
    start = 0
    for count in row_counts:
        inside = picks[(picks >= start) & (picks < start + count)] - start
        chosen.append(frozenset(int(i) for i in inside))
        start += count
    return chosen
