import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.metrics import column_edges, decimate, decimate_columns

curves = st.integers(1, 400).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(0, 2000), min_size=n, max_size=n).map(sorted),
        st.lists(st.floats(-1e6, 1e6), min_size=n, max_size=n),
    )
)


@settings(max_examples=150, deadline=None)
@given(
    curve=curves,
    columns=st.integers(1, 40),
    view=st.tuples(st.integers(-50, 1500), st.integers(1, 2200)),
)
def test_the_minimum_and_maximum_of_every_pixel_column_survive(curve, columns, view):
    xs, ys = np.array(curve[0]), np.array(curve[1])
    x0, x1 = view[0], view[0] + view[1]
    out_xs, out_ys = decimate(xs, ys, x0, x1, columns)
    edges = column_edges(x0, x1, columns)
    for left, right in itertools.pairwise(edges):
        inside = (xs >= left) & (xs < right)
        kept = (out_xs >= left) & (out_xs < right)
        if inside.any():
            assert out_ys[kept].min() == ys[inside].min()
            assert out_ys[kept].max() == ys[inside].max()


@settings(max_examples=100, deadline=None)
@given(curve=curves, columns=st.integers(1, 40))
def test_order_and_the_last_point_are_kept_and_the_count_is_bounded(curve, columns):
    xs, ys = np.array(curve[0]), np.array(curve[1])
    x0, x1 = float(xs[0]), float(xs[-1]) + 1
    out_xs, out_ys = decimate(xs, ys, x0, x1, columns)
    assert (np.diff(out_xs) >= 0).all()
    assert (out_xs[-1], out_ys[-1]) == (xs[-1], ys[-1])
    assert len(out_xs) <= 2 * columns + 5
    assert set(out_ys) <= set(ys)


def test_one_spike_in_a_million_points_stays_visible():
    ys = np.zeros(1_000_000)
    ys[123_456] = 7.0
    out_xs, out_ys = decimate(np.arange(1_000_000), ys, 0, 1_000_000, 800)
    assert out_ys.max() == 7.0
    assert abs(out_xs[out_ys.argmax()] - 123_456) <= 1_000_000 / 800


def test_nothing_and_a_single_point_are_drawn_as_they_are():
    assert decimate(np.array([], dtype=np.int64), np.array([]), 0, 10, 100)[0].size == 0
    xs, ys = decimate(np.array([5]), np.array([2.0]), 0, 10, 100)
    assert (xs.tolist(), ys.tolist()) == ([5.0], [2.0])


def test_an_empty_or_reversed_view_draws_nothing():
    xs, ys = np.arange(10), np.ones(10)
    assert decimate(xs, ys, 5, 5, 100)[0].size == 0
    assert decimate(xs, ys, 0, 9, 0)[0].size == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_non_finite_value_does_not_blank_or_stretch_its_column(bad):
    ys = np.sin(np.arange(10_000) / 100)
    ys[5000] = bad
    out = decimate(np.arange(10_000), ys, 0, 10_000, 100)[1]
    assert np.isfinite(out).all()
    assert out.max() == np.nanmax(ys[np.isfinite(ys)])


def test_a_column_of_nothing_but_nan_leaves_a_hole():
    ys = np.ones(10_000)
    ys[2000:3000] = np.nan
    xs, out = decimate(np.arange(10_000), ys, 0, 10_000, 100)
    assert np.isfinite(out).all()
    assert not ((xs > 2100) & (xs < 2900)).any()


def test_the_line_runs_on_to_a_neighbor_on_each_side_of_a_zoomed_view():
    xs = np.arange(0, 1000, 10)
    out_xs, _ = decimate(xs, xs.astype(float), 495, 505, 100)
    assert out_xs.tolist() == [490.0, 500.0, 510.0]


def test_log_columns_are_equally_wide_on_the_screen_and_skip_zero():
    xs = np.arange(0, 100_000)
    out_xs, _ = decimate(
        xs, np.random.default_rng(0).normal(size=xs.size), 1, 100_000, 200, log=True
    )
    assert out_xs.min() >= 1
    per_decade = np.histogram(np.log10(out_xs), bins=[3, 4, 5.0001])[0]
    assert 0.8 < per_decade[0] / per_decade[1] < 1.25


def test_columns_hang_on_a_fixed_grid_so_that_panning_does_not_shimmer():
    ys = np.random.default_rng(1).normal(size=100_000)
    xs = np.arange(100_000)
    here = set(zip(*decimate(xs, ys, 10_000, 60_000, 500), strict=True))
    panned = set(zip(*decimate(xs, ys, 10_030, 60_030, 500), strict=True))
    assert len(here & panned) / len(here) > 0.98


def test_columns_of_any_width_can_be_asked_for():
    xs = np.arange(1000)
    out_xs, _ = decimate_columns(xs, xs.astype(float), np.array([0.0, 10.0, 1000.0]))
    assert out_xs.tolist() == [0.0, 9.0, 10.0, 999.0, 999.0]
