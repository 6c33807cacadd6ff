"""Numbers as people read them. Qt-free: the command line uses it too."""

from __future__ import annotations

import time

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_STEP = 1024


def count_text(number: int) -> str:
    """1,284."""
    return f"{number:,}"


def size_text(size_bytes: float) -> str:
    """92.7 MiB."""
    size, unit = float(size_bytes), _UNITS[0]
    for unit in _UNITS:
        if abs(size) < _STEP or unit == _UNITS[-1]:
            break
        size /= _STEP
    return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"


def parameters_text(number: int) -> str:
    """Parameters of a model: 4.2 M, 7.1 B."""
    for limit, unit in ((10**9, "B"), (10**6, "M"), (10**3, "K")):
        if number >= limit:
            scaled = number / limit
            return f"{scaled:.0f} {unit}" if scaled >= 100 else f"{scaled:.1f} {unit}"
    return str(number)


def duration_text(seconds: float) -> str:
    """45 s, 12:05 or 3:02:07."""
    whole = round(max(0.0, seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, s = divmod(whole, 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02}:{s:02}" if hours else f"{m}:{s:02}"


def time_text(utc_s: float) -> str:
    """2026-11-23 21:04, local time; the same in both languages and in every list. Empty for 0."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(utc_s)) if utc_s else ""


def percent_text(ratio: float, digits: int = 0) -> str:
    """38 %."""
    return f"{ratio * 100:.{digits}f} %"


def number_text(value: float, digits: int = 4) -> str:
    """A metric with `digits` significant digits, short: 0.8421, 4.7e-05, nan."""
    return f"{value:.{digits}g}"
