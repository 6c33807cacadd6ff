"""What is remarkable about the data of a run: codes of notes, and how often each was met.

The words are in `app/texts/train_notes.py`.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from core.protocol.events import Finding
from workers.train.packing import fill

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from core.config.preview import PreviewSpec
    from core.config.train import TrainSpec
    from workers.train.data_order import DataOrder

DOUBLE_BOS = "double_bos"
END_TOKEN_MISSING = "end_token_missing"
CUT = "sample_cut"
NOTHING_TRAINED = "nothing_trained"
THOUGHTS_STRIPPED = "thoughts_stripped"
THOUGHTS_RESTORED = "thoughts_restored"
TEMPLATE_FALLBACK = "template_fallback"
CONTEXT_SHORTER = "context_shorter"
PACKED = "packed"
PACKED_BY_POSITIONS = "packed_by_positions"
WHOLE_LOGITS = {
    "head_is_special": "whole_logits_head",
    "logits_are_changed": "whole_logits_changed",
    "unknown_model": "whole_logits_model",
}
"""By `Objective.why_plain`."""

_OF_A_SAMPLE = (
    DOUBLE_BOS, END_TOKEN_MISSING, CUT, NOTHING_TRAINED, THOUGHTS_STRIPPED, THOUGHTS_RESTORED
)  # fmt: skip

DATA_NOTES = frozenset(
    {
        DOUBLE_BOS, END_TOKEN_MISSING, CUT, NOTHING_TRAINED, THOUGHTS_STRIPPED, THOUGHTS_RESTORED,
        TEMPLATE_FALLBACK, CONTEXT_SHORTER, PACKED, PACKED_BY_POSITIONS, *WHOLE_LOGITS.values(),
        *(f"this_{code}" for code in _OF_A_SAMPLE),
    }
)  # fmt: skip


@dataclass
class Tally:
    """Counts over the training samples, as they are encoded."""

    limit_tokens: int
    """Longer samples are cut to this."""
    codes: Counter[str] = field(default_factory=Counter)
    lengths: array[int] = field(default_factory=lambda: array("q"))
    """Tokens of each sample before the cut, dropped ones too."""

    def add(self, length: int, codes: Iterable[str]) -> None:
        """Count one sample."""
        self.lengths.append(length)
        self.codes.update(codes)

    def notes(self) -> list[Finding]:
        """One finding for each code that was met."""
        return [
            Finding(code=code, params=self._facts(count))
            for code, count in sorted(self.codes.items())
        ]

    def _facts(self, count: int) -> dict[str, int]:
        return {
            "count": count,
            "total": len(self.lengths),
            "limit": self.limit_tokens,
            "longest": max(self.lengths, default=0),
        }


def about_one(codes: Iterable[str], tokens: int, limit: int) -> list[Finding]:
    """What was found about a single sample of so many tokens before the cut."""
    facts = {"tokens": tokens, "limit": limit}
    return [Finding(code=f"this_{code}", params=facts) for code in codes if code in _OF_A_SAMPLE]


def of_run(
    spec: TrainSpec | PreviewSpec,
    tally: Tally,
    order: DataOrder,
    *,
    why_plain: str = "",
    flat: bool = True,
) -> list[Finding]:
    """What the user should know of data and loss before the first step.

    Args:
        spec: of the run, or of the look at its data before.
        tally: of its training samples.
        order: its rows.
        why_plain: `Objective.why_plain`.
        flat: the model has our attention.
    """
    notes = tally.notes()
    if tally.limit_tokens < spec.seq_len:
        facts = {"context": tally.limit_tokens, "seq_len": spec.seq_len}
        notes.append(Finding(code=CONTEXT_SHORTER, params=facts))
    if order.lengths is not None:
        notes.append(_packed(order, order.lengths))
    if spec.packing and not flat:
        notes.append(Finding(code=PACKED_BY_POSITIONS))
    if code := WHOLE_LOGITS.get(why_plain):
        notes.append(Finding(code=code))
    return notes


def _packed(order: DataOrder, lengths: NDArray[np.int64]) -> Finding:
    rows = order.rows_in(0)
    percent = round(100 * fill(lengths, rows, order.capacity or 1), 1)
    return Finding(code=PACKED, params={"samples": order.samples, "rows": rows, "percent": percent})
