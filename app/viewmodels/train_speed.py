"""How fast a run is, and how much of the card's arithmetic it uses."""

from __future__ import annotations

from core.metrics import RunSeries, ema
from core.protocol.events import TrainPlanned

_WINDOW_STEPS = 40
_WEIGHT = 0.9


def recent_speed(series: RunSeries) -> float | None:
    """Tokens a second over the last steps, the newest weighing most; None before the first."""
    speeds = series.tokens_per_second.ys[-_WINDOW_STEPS:]
    return float(ema(speeds, _WEIGHT)[-1]) if len(speeds) else None


def efficiency(plan: TrainPlanned | None, tokens_per_second: float | None) -> float | None:
    """Model FLOPs utilization, 0 to 1: what the model needs for its tokens, forward and backward
    without recomputation (https://arxiv.org/abs/2204.02311, appendix B), against the measured peak
    of all cards. None without a measured card.
    """
    if plan is None or not plan.matmul_peak_flops or not plan.flops_per_token:
        return None
    if tokens_per_second is None:
        return None
    peak = plan.matmul_peak_flops * max(1, plan.world_size)
    return tokens_per_second * plan.flops_per_token / peak
