import numpy as np
import pytest

from app.viewmodels.train_eta import Eta, SteadyEta, remaining
from core.metrics import Series


def times(*seconds):
    series = Series("s")
    series.extend(range(len(seconds)), seconds)
    return series


def test_nothing_is_promised_before_twenty_steps_or_ten_seconds():
    assert remaining(times(*[0.1] * 19), 100) is None
    assert remaining(times(*[0.1] * 20), 100) is not None
    assert remaining(times(5.0, 5.0), 100) is None
    assert remaining(times(5.0, 5.0, 5.0), 100) is not None


def test_what_is_left_is_the_time_of_a_step_by_the_steps_left_plus_evaluations():
    eta = remaining(times(*[2.0] * 100), 50, extra_s=30.0)
    assert eta.seconds == pytest.approx(130.0)


def test_a_machine_that_became_slow_is_believed_within_some_dozen_steps():
    eta = remaining(times(*[1.0] * 150, *[3.0] * 50), 100)
    assert 270 < eta.seconds < 300


def test_uneven_steps_have_a_wider_spread():
    rng = np.random.default_rng(0)
    steady = remaining(times(*rng.normal(1.0, 0.01, 200)), 1000)
    rough = remaining(times(*rng.exponential(1.0, 200)), 1000)
    assert rough.spread_s > steady.spread_s


def test_a_finished_run_has_nothing_left():
    assert remaining(times(1.0), 0) == Eta(0.0, 0.0)


def test_the_figure_counts_down_and_does_not_jump_within_its_spread():
    shown = SteadyEta()
    assert shown.update(Eta(100.0, 10.0), 0.0).seconds == 100.0
    assert shown.update(Eta(95.0, 10.0), 4.0).seconds == 96.0
    assert shown.update(Eta(104.0, 10.0), 5.0).seconds == 95.0


def test_the_figure_yields_when_the_truth_left_its_spread():
    shown = SteadyEta()
    shown.update(Eta(100.0, 10.0), 0.0)
    assert shown.update(Eta(150.0, 12.0), 5.0) == Eta(150.0, 12.0)
