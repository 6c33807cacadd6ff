import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.widgets.plot_ticks import (
    Tick,
    format_duration,
    format_value,
    linear_ticks,
    log_ticks,
    thin,
    time_ticks,
)

spans = st.tuples(st.floats(-1e6, 1e6), st.floats(1e-9, 1e7)).filter(
    lambda s: s[1] > abs(s[0]) * 1e-9
)


@settings(max_examples=200, deadline=None)
@given(span=spans, most=st.integers(1, 12))
def test_linear_ticks_lie_in_the_range_and_are_never_more_than_asked_for(span, most):
    low, high = span[0], span[0] + span[1]
    ticks = linear_ticks(low, high, most)
    assert len(ticks) <= most
    slack = 1e-6 * (high - low)
    assert all(low - slack <= t.position <= high + slack for t in ticks)


@settings(max_examples=200, deadline=None)
@given(low=st.floats(-8, 6), span=st.floats(0.01, 14), height=st.integers(60, 900))
def test_the_texts_of_a_log_axis_never_overlap(low, span, height):
    ticks = log_ticks(low, low + span, max(2, height // 40))
    kept = thin(ticks, lambda p: (p - low) / span * height, lambda _: 12.0, 6.0)
    places = [(t.position - low) / span * height for t in kept]
    assert all(b - a >= 18.0 - 1e-6 for a, b in itertools.pairwise(places))


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (0, 3e-5, ["0", "1e-5", "2e-5", "3e-5"]),
        (15.8, 24, ["16", "18", "20", "22", "24"]),
        (0, 1300, ["0", "250", "500", "750", "1,000", "1,250"]),
        (0, 120_000, ["0", "25k", "50k", "75k", "100k"]),
    ],
)
def test_linear_ticks_are_round_and_short(low, high, labels):
    assert [t.label for t in linear_ticks(low, high, 6)][: len(labels)] == labels


def test_steps_are_whole_numbers():
    assert [t.label for t in linear_ticks(0, 2.5, 8, whole=True)] == ["0", "1", "2"]


def test_many_decades_are_labelled_by_powers_of_ten():
    assert [t.label for t in log_ticks(-5, 3, 5)] == ["1e-4", "0.01", "1", "100"]


def test_a_part_of_a_decade_gets_round_values():
    assert [t.label for t in log_ticks(math.log10(0.8), math.log10(1.6), 5)] == [
        "0.8", "1.0", "1.2", "1.4", "1.6",
    ]  # fmt: skip


def test_time_is_counted_in_minutes_and_hours():
    assert [t.label for t in time_ticks(0, 4000, 6)] == ["0s", "15m", "30m", "45m", "1h"]
    assert format_duration(5400) == "1h30"


def test_wide_texts_are_thinned_to_those_that_have_room():
    ticks = [Tick(float(i), "1,000,000") for i in range(10)]
    kept = thin(ticks, lambda p: p * 30, lambda _: 50.0, 10.0)
    assert [t.position for t in kept] == [0, 2, 4, 6, 8]


def test_an_axis_without_extent_has_no_ticks():
    assert linear_ticks(1, 1, 5) == log_ticks(1, 1, 5) == time_ticks(1, 1, 5) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.8421, "0.842"), (3.02e-5, "3.0e-5"), (17.83, "17.8"), (6210.4, "6,210"),
     (float("nan"), "NaN"), (float("inf"), "∞"), (0, "0"), (2.5e7, "25.00M"), (0.00134, "1.3e-3")],
)  # fmt: skip
def test_the_value_of_now_is_short(value, text):
    assert format_value(value) == text
