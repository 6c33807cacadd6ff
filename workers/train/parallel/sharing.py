"""Which micro-batches of a step are whose, and what random numbers they see.

Both are pure functions. The window of a step, and how it is cut into micro-batches, does not
depend on the number of processes; they are dealt like cards. So a run goes on with another number
of processes where it stood, over the same samples in the same order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np
import torch

from workers.harness.team import Team

B = TypeVar("B")


def own_share(batches: Sequence[B], team: Team, *, even: bool = False) -> Iterator[tuple[B, bool]]:
    """This process's micro-batches; the flag is false for one that only keeps the others company.

    The longest come first and go to the main process, whose memory is the one that is shown.
    Where every forward pass is made together, all must make as many: who has none left repeats
    the last one, with no weight. `even` asks for that where it is not needed.
    """
    for round_ in range(0, len(batches), team.data_size):
        at = round_ + team.data_rank
        if at < len(batches):
            yield batches[at], True
        elif even or team.in_step:
            yield batches[-1], False


def stir(seed: int, step: int, team: Team) -> None:
    """Give every share of a step its own dropout.

    The main process draws on from where it is, as when it were alone, and a checkpoint holds
    where that is. The others begin each step anew from a seed that nobody has to keep.
    """
    if team.data_rank:
        words = np.random.SeedSequence([seed, step, team.data_rank]).generate_state(1, np.uint64)
        torch.manual_seed(int(words[0]) >> 1)
