import math

import numpy as np
import pytest

from core.metrics import Ema, Series, SmoothedSeries, ema


def test_points_come_back_as_views_that_copy_nothing():
    series = Series()
    series.extend(range(1000), np.arange(1000) / 2)
    assert series.xs.base is not None
    assert series.xs.tolist() == list(range(1000))
    assert series.last == (999, 499.5)


def test_a_view_taken_before_a_growth_or_a_cut_keeps_its_points():
    series = Series()
    series.extend(range(200), range(200))
    before = series.ys
    series.extend(range(200, 5000), range(200, 5000))
    series.truncate_after(50)
    series.append(51, -1.0)
    assert before.tolist() == list(range(200))
    assert series.ys[-2:].tolist() == [50.0, -1.0]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_non_finite_values_are_kept_apart_and_never_dropped(bad):
    series = Series()
    series.extend([1, 2, 3], [1.0, bad, 3.0])
    assert series.xs.tolist() == [1, 3]
    assert list(series.non_finite_xs) == [2]
    assert series.last == (3, 3.0)


def test_falling_x_is_refused_and_nothing_is_added():
    series = Series()
    series.append(5, 1.0)
    with pytest.raises(ValueError, match="must not fall"):
        series.extend([6, 4], [1.0, 1.0])
    with pytest.raises(ValueError, match="must not fall"):
        series.append(4, 1.0)
    assert len(series) == 1


def test_a_value_before_the_last_non_finite_step_is_refused():
    series = Series()
    series.append(5, math.nan)
    with pytest.raises(ValueError, match="must not fall"):
        series.append(4, 1.0)


def test_a_cut_forgets_points_and_non_finite_marks_behind_it():
    series = Series()
    series.extend([1, 2, 3, 4], [1.0, math.nan, 3.0, math.nan])
    version = series.version
    series.truncate_after(2)
    assert (series.xs.tolist(), list(series.non_finite_xs)) == ([1], [2])
    assert series.version > version
    assert series.cuts == 1


def test_a_cut_behind_the_end_changes_nothing():
    series = Series()
    series.append(1, 1.0)
    version = series.version
    series.truncate_after(10)
    assert (series.version, series.cuts) == (version, 0)


def test_the_nearest_point_is_found():
    series = Series()
    assert series.nearest(3) is None
    series.extend([0, 10, 20], [0, 1, 2])
    assert [series.nearest(x) for x in (-5, 4, 6, 14.9, 15.1, 99)] == [0, 0, 1, 1, 2, 2]


def _tensorboard(ys, weight):
    last, out = 0.0, []
    for n, y in enumerate(ys, 1):
        last = last * weight + (1 - weight) * y
        out.append(last / (1 - weight**n))
    return out


@pytest.mark.parametrize("weight", [0.1, 0.6, 0.9, 0.99, 0.999])
def test_smoothing_is_tensorboards_debiased_average(weight):
    ys = np.random.default_rng(0).normal(2, 1, 3000)
    ys[1500] = 1e6
    assert np.allclose(ema(ys, weight), _tensorboard(ys, weight), rtol=1e-9)


def test_no_smoothing_gives_the_raw_values():
    assert ema(np.array([1.0, 5.0]), 0.0).tolist() == [1.0, 5.0]


def test_smoothing_in_bites_is_smoothing_at_once():
    ys = np.random.default_rng(0).normal(size=1000)
    parts = Ema(0.95)
    joined = np.concatenate(
        [parts.extend(ys[a:b]) for a, b in [(0, 1), (1, 1), (1, 700), (700, 1000)]]
    )
    assert np.allclose(joined, ema(ys, 0.95))


def test_a_smoothed_series_follows_growth_a_cut_and_a_new_weight():
    series = Series()
    smoothed = SmoothedSeries(series, 0.9)
    assert smoothed.ys.size == 0
    series.extend(range(50), np.arange(50.0))
    series.extend(range(50, 900), np.arange(50.0, 900.0))
    assert np.allclose(smoothed.ys, ema(series.ys, 0.9))
    series.truncate_after(20)
    series.extend(range(21, 40), np.zeros(19))
    assert np.allclose(smoothed.ys, ema(series.ys, 0.9))
    smoothed.weight = 0.5
    assert np.allclose(smoothed.ys, ema(series.ys, 0.5))
