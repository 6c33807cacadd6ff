"""Made-up loss curves with known faults: cheap, many, and with heavier tails than real ones.

`a + b exp(-t / tau)` with AR(1) noise of Student-t(3) innovations, cut to plausible values. Noise,
length, decay and size of the fault are drawn anew for each curve.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

HARMLESS = ("clean", "single_spike", "burst_of_3", "sawtooth")
FAULTS = ("ramp_of_50", "step_shift", "nan", "frozen_loss")
EXPECTED: dict[str, frozenset[str]] = {
    "ramp_of_50": frozenset({"diverging", "level_shift"}),
    "step_shift": frozenset({"diverging", "level_shift"}),
    "nan": frozenset({"non_finite", "non_finite_repeated"}),
    "frozen_loss": frozenset({"loss_zero_or_constant"}),
}
"""Alarms of which one has to come."""


@dataclass(frozen=True)
class Curve:
    """One curve; `fault_at` is the index of its first faulty step."""

    kind: str
    seed: int
    fault_at: int
    loss: np.ndarray
    grad_norm: np.ndarray
    target_tokens: np.ndarray


def noise(rng: np.random.Generator, steps: int, deviation: float) -> np.ndarray:
    """AR(1) with Student-t(3) innovations, scaled to `deviation`."""
    phi = rng.choice([0.0, 0.3, 0.6])
    shocks = rng.standard_t(3, size=steps) / np.sqrt(3.0)
    values = np.empty(steps)
    last = 0.0
    for i, shock in enumerate(shocks):
        last = phi * last + shock * np.sqrt(1 - phi**2)
        values[i] = last
    return deviation * values


def make_curve(kind: str, seed: int) -> Curve:
    """A curve of 300 to 3000 steps."""
    rng = np.random.default_rng([seed, sum(kind.encode())])
    steps = int(rng.integers(300, 3001))
    deviation = float(np.exp(rng.uniform(np.log(0.01), np.log(0.25))))
    start, floor = rng.uniform(0.5, 3.0), rng.uniform(0.5, 3.0)
    tau = rng.uniform(0.03, 0.4) * steps
    t = np.arange(steps)
    loss = floor + start * np.exp(-t / tau) + noise(rng, steps, deviation)
    norm = rng.uniform(0.2, 3.0) * np.exp(0.3 * rng.standard_normal(steps))
    fault_at = int(rng.uniform(0.4, 0.8) * steps)
    _inject(kind, rng, loss, norm, fault_at, deviation)
    tokens = np.full(steps, int(rng.integers(200, 20_000)))
    return Curve(kind, seed, fault_at, np.maximum(loss, 0.02), norm, tokens)


def _inject(
    kind: str,
    rng: np.random.Generator,
    loss: np.ndarray,
    norm: np.ndarray,
    at: int,
    deviation: float,
) -> None:
    """Change the curve in place."""
    size = rng.uniform(0.4, 2.0) + 2 * deviation
    if kind == "single_spike":
        loss[at] += 10 * size
    elif kind == "burst_of_3":
        loss[at : at + 3] += 2 * size
        norm[at : at + 3] *= 8
    elif kind == "ramp_of_50":
        shape = np.clip(np.arange(len(loss) - at) / 50, 0, 1)
        loss[at:] += size * shape
        norm[at:] *= 1 + 3 * shape
    elif kind == "step_shift":
        loss[at:] += size
    elif kind == "nan":
        loss[at:], norm[at:] = np.nan, np.nan
    elif kind == "frozen_loss":
        loss[at:] = loss[at]
    elif kind == "sawtooth":
        epoch = max(40, len(loss) // 6)
        place = np.arange(len(loss)) % epoch / epoch
        passed = np.arange(len(loss)) // epoch
        loss -= 0.15 * passed - 0.1 * place * (passed > 0)


def curves(first_seed: int, each: int) -> Iterator[Curve]:
    """`each` curves of every kind."""
    for kind in (*HARMLESS, *FAULTS):
        for i in range(each):
            yield make_curve(kind, first_seed + i)
