"""Where ticks stand and what they say: pure functions, so that "never overlapping" is testable.

Positions are view coordinates (log10 of the value on a logarithmic axis); there is one level of
ticks, because each further level of text and grid costs more than the curve itself.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

_NICE = (1.0, 2.0, 2.5, 5.0, 10.0)
_TIME_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200)
_LOG_STEPS = ((1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,))


@dataclass(frozen=True)
class Tick:
    """A labelled place on an axis."""

    position: float
    label: str


def linear_ticks(low: float, high: float, most: int, *, whole: bool = False) -> list[Tick]:
    """At most `most` round values in [low, high]; `whole` allows integers only."""
    if not high > low or most < 1:
        return []
    step = _nice_step((high - low) / most)
    if whole:
        step = max(1.0, math.ceil(step))
    values = _multiples(low, high, step)
    while len(values) > most:
        step = _nice_step(step * 1.01)
        values = _multiples(low, high, step)
    return [Tick(v, format_tick(v, step)) for v in values]


def log_ticks(low: float, high: float, most: int) -> list[Tick]:
    """Ticks of an axis whose view coordinates are log10(value), thinned to at most `most`.

    Over several decades: powers of ten, every second or third where they would crowd. Within one
    or two: 1, 2, 5. Within a part of one: round values as on a linear axis.
    """
    if not high > low or most < 1:
        return []
    if high - low < 0.7:
        ticks = linear_ticks(10**low, 10**high, most)
        return [Tick(math.log10(t.position), t.label) for t in ticks if t.position > 0]
    for digits in _LOG_STEPS:
        values = _log_values(low, high, digits)
        if len(values) >= 2 and _fits(values, low, high, most):
            return [Tick(math.log10(v), format_tick(v, v)) for v in values]
    return _powers(low, high, most)


def time_ticks(low: float, high: float, most: int) -> list[Tick]:
    """Ticks in seconds at round minutes and hours."""
    if not high > low or most < 1:
        return []
    wanted = (high - low) / most
    step = next((s for s in _TIME_STEPS_S if s >= wanted), None)
    if step is None:
        step = math.ceil(wanted / 86400) * 86400
    if wanted < 0.5:
        return linear_ticks(low, high, most)
    return [Tick(v, format_duration(v)) for v in _multiples(low, high, float(step))]


def format_tick(value: float, step: float) -> str:
    """A value with as many digits as its step needs: 2,000 · 20k · 0.25 · 3e-5."""
    if value == 0 or abs(value) < step * 1e-6:
        return "0"
    size = abs(value)
    if size >= 1e6:
        return _short(value, 1e6, "M", step)
    if size >= 1e4 and step >= 100:
        return _short(value, 1e3, "k", step)
    if step < 1e-3:
        return _scientific(value, step)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9)) if step < 1 else 0
    if step < 1 and not _is_round(step * 10**decimals):
        decimals += 1
    if step >= 1 and not _is_round(step):
        decimals = 1
    return f"{value:,.{decimals}f}"


def format_value(value: float) -> str:
    """The value of now, large above the plot: four digits at most."""
    size = abs(value)
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("∞" if value > 0 else "−∞")
    if size >= 1e6:
        return f"{value / 1e6:,.2f}M"
    if size >= 1000:
        return f"{value:,.0f}"
    if size >= 100:
        return f"{value:.0f}"
    if size >= 10:
        return f"{value:.1f}"
    if size >= 1:
        return f"{value:.2f}"
    if size >= 0.01 or size == 0:
        return f"{value:.3f}" if size else "0"
    head, exponent = f"{value:.1e}".split("e")
    return f"{head}e{int(exponent)}"


def format_duration(seconds: float) -> str:
    """45s, 12m, 1h30: short enough for an axis, the same in every language."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    minutes, secs = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}m{secs:02d}" if secs else f"{minutes}m"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}" if minutes else f"{hours}h"


def thin(
    ticks: list[Tick],
    to_pixel: Callable[[float], float],
    extent_of: Callable[[Tick], float],
    gap: float,
) -> list[Tick]:
    """Drop every tick whose text would come nearer than `gap` pixels to the one kept before it.

    Args:
        ticks: in axis order.
        to_pixel: view coordinate to pixel.
        extent_of: pixels that the text takes along the axis, centered on the tick.
        gap: free pixels between two texts.
    """
    kept: list[Tick] = []
    edge = -math.inf
    for tick in sorted(ticks, key=lambda t: to_pixel(t.position)):
        center, half = to_pixel(tick.position), extent_of(tick) / 2
        if center - half >= edge + gap:
            kept.append(tick)
            edge = center + half
    return kept


def _nice_step(wanted: float) -> float:
    power = 10.0 ** math.floor(math.log10(wanted))
    return next(n * power for n in _NICE if n * power >= wanted * (1 - 1e-9))


def _multiples(low: float, high: float, step: float) -> list[float]:
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [i * step for i in range(first, last + 1)]


def _log_values(low: float, high: float, digits: tuple[int, ...]) -> list[float]:
    decades = range(math.floor(low), math.ceil(high) + 1)
    values = (digit * 10.0**decade for decade in decades for digit in digits)
    return [v for v in values if low - 1e-9 <= math.log10(v) <= high + 1e-9]


def _fits(values: list[float], low: float, high: float, most: int) -> bool:
    """No two of them nearer than the axis length allows for `most` evenly spread ones."""
    room = (high - low) / most
    logs = [math.log10(v) for v in values]
    return all(b - a >= room for a, b in itertools.pairwise(logs))


def _powers(low: float, high: float, most: int) -> list[Tick]:
    stride = max(1, math.ceil((high - low) / most))
    first = math.ceil(low / stride - 1e-9) * stride
    return [
        Tick(float(p), format_tick(10.0**p, 10.0**p))
        for p in range(first, math.floor(high + 1e-9) + 1, stride)
    ]


def _short(value: float, unit: float, letter: str, step: float) -> str:
    decimals = 0 if _is_round(step / unit) else (1 if _is_round(10 * step / unit) else 2)
    return f"{value / unit:,.{decimals}f}{letter}"


def _is_round(number: float) -> bool:
    return abs(number - round(number)) < 1e-6 * max(1.0, abs(number))


def _scientific(value: float, step: float) -> str:
    power = math.floor(math.log10(abs(value)) + 1e-9)
    mantissa = value / 10.0**power
    decimals = next((d for d in range(3) if _is_round(step * 10.0 ** (d - power))), 2)
    text = f"{mantissa:.{decimals}f}"
    return f"{text.rstrip('0').rstrip('.') if decimals else text}e{power}"
