"""Names of the alarms of a training run: stable codes that stand in event files.

Their words in both languages are in `app/texts/alarms.py`.
"""

from __future__ import annotations

NON_FINITE = "non_finite"
"""Loss or gradient norm is NaN or infinite; that update was left out."""
NON_FINITE_REPEATED = "non_finite_repeated"
"""Non-finite again and again: leaving updates out does not help any more."""
GRAD_NORM_HIGH = "grad_norm_high"
GRAD_NORM_SPIKE = "grad_norm_spike"
LOSS_SPIKE = "loss_spike"
DIVERGING = "diverging"
"""The loss stays above its best level, and the gradients are not calm."""
LEVEL_SHIFT = "level_shift"
"""The loss stays above its best level with calm gradients: did the data change?"""
NOT_LEARNING = "not_learning"
LOSS_ZERO_OR_CONSTANT = "loss_zero_or_constant"
FEW_TRAINED_TOKENS = "few_trained_tokens"
"""Hardly anything of the data is trained: a mask or a template may be wrong."""
OVERFIT = "overfit"
MEMORY_CREEP = "memory_creep"
THROUGHPUT_DROP = "throughput_drop"
STALL = "stall"
SAVE_FAILED = "save_failed"
"""Raised by the worker when a checkpoint could not be written; training goes on."""
CHECKPOINT_DAMAGED = "checkpoint_damaged"
"""Raised by the worker when a resume passed over a damaged checkpoint."""
TRACKER_FAILED = "tracker_failed"
"""Raised by the worker when another place that gets the curves failed; it gets no more of them."""

ALARM_CODES: frozenset[str] = frozenset(
    {
        NON_FINITE, NON_FINITE_REPEATED, GRAD_NORM_HIGH, GRAD_NORM_SPIKE, LOSS_SPIKE, DIVERGING,
        LEVEL_SHIFT, NOT_LEARNING, LOSS_ZERO_OR_CONSTANT, FEW_TRAINED_TOKENS, OVERFIT,
        MEMORY_CREEP, THROUGHPUT_DROP, STALL, SAVE_FAILED, CHECKPOINT_DAMAGED, TRACKER_FAILED,
    }
)  # fmt: skip

LASTING_CODES: frozenset[str] = frozenset(
    {NON_FINITE_REPEATED, DIVERGING, LEVEL_SHIFT, NOT_LEARNING, OVERFIT, THROUGHPUT_DROP, STALL}
)
"""Alarms of a condition that lasts; `AlarmCleared` says that it is over."""
