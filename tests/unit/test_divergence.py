"""Alarms: each fires on its trouble, stays silent otherwise, and never floods a run."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from core.divergence import Detectors, DetectorSettings
from core.protocol.events import AlarmCleared, AlarmRaised, TrainStep


def step(number: int, loss: float = 2.0, grad_norm: float = 0.5, seconds: float = 0.1) -> TrainStep:
    return TrainStep(step=number, loss=loss, grad_norm=grad_norm, step_time_s=seconds)


def calm(detectors: Detectors, count: int, start: int = 1, noise: float = 0.05) -> list[Any]:
    """Alarms of `count` ordinary steps."""
    losses = 2.0 + noise * np.random.default_rng(start).standard_normal(count)
    return [a for i, x in enumerate(losses) for a in detectors.observe(step(start + i, float(x)))]


def test_an_ordinary_run_raises_nothing() -> None:
    assert calm(Detectors(), 1000) == []


@pytest.mark.parametrize(("loss", "norm"), [(math.nan, 1.0), (math.inf, 1.0), (2.0, math.nan)])
def test_a_number_that_is_none_is_an_error(loss: float, norm: float) -> None:
    (alarm,) = Detectors().observe(step(7, loss, norm))
    assert isinstance(alarm, AlarmRaised)
    assert (alarm.alarm, alarm.severity, alarm.step) == ("non_finite", "error", 7)
    assert not math.isfinite(alarm.value)
    assert alarm.detail == ("loss" if norm == 1.0 else "grad_norm")


@pytest.mark.parametrize(("norm", "fires"), [(999.0, False), (1000.0, False), (1000.1, True)])
def test_the_gradient_norm_has_a_limit(norm: float, fires: bool) -> None:
    alarms = Detectors(DetectorSettings(grad_norm_alarm=1e3)).observe(step(1, grad_norm=norm))
    assert [a.alarm for a in alarms] == ["grad_norm_high"] * fires
    if fires:
        assert isinstance(alarms[0], AlarmRaised)
        assert (alarms[0].value, alarms[0].threshold) == (norm, 1e3)


def test_a_spike_stands_out_of_the_losses_before_it() -> None:
    detectors = Detectors()
    calm(detectors, 100)
    (alarm,) = detectors.observe(step(101, 3.0))
    assert isinstance(alarm, AlarmRaised)
    assert (alarm.alarm, alarm.severity, alarm.value) == ("loss_spike", "note", 3.0)
    assert 2.1 < alarm.threshold < 2.6


def test_too_few_losses_make_no_spike() -> None:
    detectors = Detectors()
    calm(detectors, 31)
    assert detectors.observe(step(32, 9.0)) == []


def test_a_loss_that_hardly_moves_does_not_spike_at_every_tremor() -> None:
    detectors = Detectors()
    calm(detectors, 60, noise=0.0)
    assert detectors.observe(step(61, 2.05)) == []
    assert [a.alarm for a in detectors.observe(step(62, 2.5))] == ["loss_spike"]


def test_a_non_finite_loss_does_not_spoil_the_statistics() -> None:
    detectors = Detectors()
    calm(detectors, 64)
    detectors.observe(step(65, math.nan))
    assert [a.alarm for a in detectors.observe(step(66, 9.0))] == ["loss_spike"]


def test_a_run_of_nan_is_a_handful_of_alarms() -> None:
    detectors = Detectors()
    alarms = [a for i in range(1, 1201) for a in detectors.observe(step(i, math.nan))]
    said = [(a.alarm, a.step) for a in alarms]
    assert said == [
        ("non_finite", 1), ("non_finite_repeated", 3), ("non_finite", 10), ("non_finite", 100),
        ("non_finite", 1000),
    ]  # fmt: skip


def test_trouble_that_comes_back_after_a_calm_is_said_again() -> None:
    detectors = Detectors()
    first = detectors.observe(step(1, grad_norm=5e3))
    between = calm(detectors, 60, start=2, noise=0.01)
    again = detectors.observe(step(62, grad_norm=5e3))
    assert (len(first), between, len(again)) == (1, [], 1)


def test_a_loss_scaler_may_search_its_scale_without_alarm() -> None:
    detectors = Detectors(DetectorSettings(scaled_gradients=True))
    alarms = [detectors.observe(step(i, grad_norm=math.inf)) for i in range(1, 11)]
    assert alarms[:9] == [[]] * 9
    assert [a.alarm for a in alarms[9]] == ["non_finite", "non_finite_repeated"]


def test_a_scaler_does_not_hide_a_loss_that_is_no_number() -> None:
    assert Detectors(DetectorSettings(scaled_gradients=True)).observe(step(1, math.nan, math.inf))


def test_silence_is_a_stall_once_and_the_next_step_ends_it() -> None:
    detectors = Detectors(DetectorSettings(stall_alarm_s=60))
    calm(detectors, 5)
    assert detectors.silence(59.0) == []
    (alarm,) = detectors.silence(61.0)
    assert isinstance(alarm, AlarmRaised)
    assert (alarm.alarm, alarm.step, alarm.value, alarm.threshold) == ("stall", 5, 61.0, 60.0)
    assert detectors.silence(600.0) == []
    (cleared,) = detectors.observe(step(6))
    assert isinstance(cleared, AlarmCleared)
    assert cleared.alarm == "stall"
    assert detectors.observe(step(7)) == []


def test_slow_steps_are_no_stall() -> None:
    detectors = Detectors(DetectorSettings(stall_alarm_s=60))
    for i in range(1, 6):
        detectors.observe(step(i, seconds=20.0))
    assert detectors.silence(199.0) == []
    assert len(detectors.silence(201.0)) == 1


def test_a_pause_ends_a_stall() -> None:
    detectors = Detectors(DetectorSettings(stall_alarm_s=1))
    detectors.silence(2.0)
    assert [type(a) for a in detectors.excuse()] == [AlarmCleared]
    assert detectors.excuse() == []


def test_a_restored_detector_goes_on_as_the_unbroken_one() -> None:
    unbroken, first = Detectors(), Detectors()
    for detectors in (unbroken, first):
        calm(detectors, 80)
        detectors.observe(step(81, math.nan))
    second = Detectors()
    second.restore(json.loads(json.dumps(first.state())))
    tail = [step(82, math.nan), step(83, 9.0), *(step(i, 2.0, 5e3) for i in range(84, 120))]
    assert [unbroken.observe(s) for s in tail] == [second.observe(s) for s in tail]
    assert unbroken.state() == second.state()
