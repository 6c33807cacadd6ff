"""Why an alarm may have come: the checks of a practiced trainer, in their order.

Gradient norm, then the data of the guilty window against the run so far, then the learning rate,
then clipping. Only plain numbers come in and only codes with facts go out; the words, for a
worried user, are in `app/texts/diagnosis.py`. What nobody measured is left out, never guessed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

from core.divergence import codes
from core.protocol.events import Finding

FINDING_CODES: frozenset[str] = frozenset(
    {
        "gradient_non_finite", "gradient_rising", "gradient_jumped", "gradient_calm",
        "data_longer", "data_shorter", "data_less_trained", "data_more_trained",
        "data_outlier_samples", "data_unreadable_samples", "data_repeats", "data_ordinary",
        "lr_in_warmup", "lr_at_peak", "lr_lower",
        "clipping_off", "clipping_always", "clipping_rare",
    }
)  # fmt: skip

RISING_RATIO = 2.0
"""A norm over so many medians is no longer the usual one."""
LENGTH_RATIO = 1.5
TRAINED_RATIO = 1.5
OUTLIER_RATIO = 2.0
REPEATED_SHARE = 0.5
ALWAYS_CLIPPED_SHARE = 0.8
LR_FACTOR = 1 / 3
MAX_NAMED_SAMPLES = 5
_NEEDED = 8
"""Fewer values are no usual range."""

_LEVEL_ALARMS = frozenset({codes.DIVERGING, codes.NON_FINITE_REPEATED, codes.GRAD_NORM_HIGH})
"""For these a lower rate is the next thing to try."""


@dataclass(frozen=True)
class DataNumbers:
    """What is known of some samples; a list may be empty."""

    lengths_tokens: Sequence[float] = ()
    """Tokens of each sample."""
    trained_shares: Sequence[float] = ()
    """Target tokens among all tokens of each sample, 0 to 1."""
    repeated_shares: Sequence[float] = ()
    """Of each sample: share of its tokens that are its own most frequent one, 0 to 1."""


@dataclass(frozen=True)
class DiagnosisInput:
    """What is known at an alarm. All that has a default may be unknown."""

    alarm: str
    step: int
    norms_before: Sequence[float] = ()
    """Gradient norms before clipping, of the steps before the trouble began; oldest first."""
    norms_lately: Sequence[float] = ()
    """From the first suspect step to the alarm."""
    guilty: DataNumbers = field(default_factory=DataNumbers)
    """The window of the alarm."""
    usual: DataNumbers = field(default_factory=DataNumbers)
    """The run so far."""
    sample_losses: Sequence[tuple[int, float]] = ()
    """Of the guilty batch: number of the sample, its mean loss."""
    learning_rate: float | None = None
    """Of the step of the alarm."""
    peak_learning_rate: float | None = None
    warmup_steps: int = 0
    max_grad_norm: float | None = None
    """Clipping; None or infinity for none."""


def diagnose(known: DiagnosisInput) -> tuple[Finding, ...]:
    """All that was found, in the order in which one should look."""
    checks: tuple[Callable[[DiagnosisInput], list[Finding]], ...] = (
        _gradient,
        _data,
        _learning_rate,
        _clipping,
    )
    return tuple(finding for check in checks for finding in check(known))


def _gradient(known: DiagnosisInput) -> list[Finding]:
    lately, before = list(known.norms_lately), _finite(known.norms_before)
    bad = sum(not math.isfinite(x) for x in lately)
    if bad:
        return [Finding(code="gradient_non_finite", params={"count": bad, "steps": len(lately)})]
    if not lately or len(before) < _NEEDED or median(before) <= 0:
        return []
    usual, highest = median(before), max(lately)
    facts = {"usual": usual, "highest": highest, "ratio": highest / usual, "steps": len(lately)}
    if highest < RISING_RATIO * usual:
        return [Finding(code="gradient_calm", params=facts)]
    rising = sum(x > RISING_RATIO * usual for x in lately) > 1
    return [Finding(code="gradient_rising" if rising else "gradient_jumped", params=facts)]


def _data(known: DiagnosisInput) -> list[Finding]:
    found = [
        *_moved(known, "lengths_tokens", LENGTH_RATIO, "data_longer", "data_shorter"),
        *_moved(known, "trained_shares", TRAINED_RATIO, "data_more_trained", "data_less_trained"),
        *_odd_samples(known.sample_losses),
        *_repeats(known),
    ]
    looked = bool(known.sample_losses or known.guilty.lengths_tokens)
    return found if found or not looked else [Finding(code="data_ordinary")]


def _moved(
    known: DiagnosisInput, name: str, ratio: float, higher: str, lower: str
) -> list[Finding]:
    now, usual = _finite(getattr(known.guilty, name)), _finite(getattr(known.usual, name))
    if not now or len(usual) < _NEEDED:
        return []
    here, there = median(now), median(usual)
    facts = {f"here_{name}": here, f"usual_{name}": there}
    if here > ratio * there and here > max(usual) * 0.5:
        return [Finding(code=higher, params=facts)]
    return [Finding(code=lower, params=facts)] if here * ratio < there else []


def _odd_samples(losses: Sequence[tuple[int, float]]) -> list[Finding]:
    finite = [x for _, x in losses if math.isfinite(x)]
    unreadable = [sample for sample, x in losses if not math.isfinite(x)]
    found = []
    if unreadable:
        facts = {"samples": _names(unreadable), "count": len(unreadable)}
        found.append(Finding(code="data_unreadable_samples", params=facts))
    if len(finite) < 2 or median(finite) <= 0:
        return found
    usual = median(finite)
    odd = [(sample, x) for sample, x in losses if math.isfinite(x) and x > OUTLIER_RATIO * usual]
    if odd and len(odd) * 2 < len(losses):
        odd.sort(key=lambda pair: -pair[1])
        names = _names([sample for sample, _ in odd])
        facts = {"samples": names, "count": len(odd), "highest": odd[0][1], "usual": usual}
        found.append(Finding(code="data_outlier_samples", params=facts))
    return found


def _repeats(known: DiagnosisInput) -> list[Finding]:
    shares, usual = _finite(known.guilty.repeated_shares), _finite(known.usual.repeated_shares)
    if not shares or max(shares) < REPEATED_SHARE:
        return []
    if usual and max(shares) < 2 * median(usual):
        return []
    count = sum(x >= REPEATED_SHARE for x in shares)
    return [Finding(code="data_repeats", params={"count": count, "highest_share": max(shares)})]


def _learning_rate(known: DiagnosisInput) -> list[Finding]:
    rate, peak = known.learning_rate, known.peak_learning_rate
    if rate is None or rate <= 0:
        return []
    found = []
    if known.step <= known.warmup_steps:
        facts = {"step": known.step, "warmup_steps": known.warmup_steps}
        found.append(Finding(code="lr_in_warmup", params=facts))
    elif peak and rate >= 0.9 * peak:
        found.append(Finding(code="lr_at_peak", params={"learning_rate": rate}))
    if known.alarm in _LEVEL_ALARMS:
        now = peak or rate
        facts_of_change = {"learning_rate": now, "lower": now * LR_FACTOR}
        found.append(Finding(code="lr_lower", params=facts_of_change))
    return found


def _clipping(known: DiagnosisInput) -> list[Finding]:
    limit, norms = known.max_grad_norm, _finite([*known.norms_before, *known.norms_lately])
    if limit is None or not math.isfinite(limit):
        return [Finding(code="clipping_off")]
    if len(norms) < _NEEDED:
        return []
    share = sum(x > limit for x in norms) / len(norms)
    facts = {"max_grad_norm": limit, "clipped_share": share, "usual": median(norms)}
    always = share >= ALWAYS_CLIPPED_SHARE
    return [Finding(code="clipping_always" if always else "clipping_rare", params=facts)]


def _finite(values: Sequence[float]) -> list[float]:
    return [x for x in values if math.isfinite(x)]


def _names(samples: Sequence[int]) -> str:
    more = ", …" if len(samples) > MAX_NAMED_SAMPLES else ""
    return ", ".join(str(s) for s in samples[:MAX_NAMED_SAMPLES]) + more
