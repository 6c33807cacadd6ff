"""Curves: growing series, decimation for the screen, smoothing, and the fold of a run's events."""

from core.metrics.decimate import column_edges, decimate, decimate_columns
from core.metrics.run_series import RunSeries
from core.metrics.series import Series
from core.metrics.smoothing import Ema, SmoothedSeries, ema

__all__ = [
    "Ema",
    "RunSeries",
    "Series",
    "SmoothedSeries",
    "column_edges",
    "decimate",
    "decimate_columns",
    "ema",
]
