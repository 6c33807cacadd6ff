"""The loop is watched from outside while, and only while, a step is expected."""

from __future__ import annotations

from core.divergence import Alarm, Detectors, DetectorSettings
from core.protocol.events import TrainStep
from workers.train.stall_watch import StallWatch


class Watched:
    """A watch with a clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.said: list[Alarm] = []
        detectors = Detectors(DetectorSettings(stall_alarm_s=60))
        self.watch = StallWatch(detectors, self.said.append, lambda: self.now)

    def after(self, seconds: float) -> list[str]:
        """Kinds said when looked at after some more seconds."""
        self.now += seconds
        self.watch.look()
        kinds = [type(a).__name__ for a in self.said]
        self.said.clear()
        return kinds


def test_a_step_that_does_not_end_is_a_stall_until_it_does() -> None:
    w = Watched()
    w.watch.begin()
    assert w.after(59) == []
    assert w.after(2) == ["AlarmRaised"]
    assert w.after(100) == []
    w.watch.observe(TrainStep(step=1, step_time_s=161.0))
    assert w.after(0) == ["AlarmCleared"]


def test_evaluation_and_pauses_are_no_stall() -> None:
    w = Watched()
    w.watch.begin()
    w.watch.observe(TrainStep(step=1, step_time_s=1.0))
    w.watch.rest()
    assert w.after(10_000) == []
    w.watch.begin()
    assert w.after(59) == []
    assert w.after(2) == ["AlarmRaised"]


def test_each_step_starts_the_clock_anew() -> None:
    w = Watched()
    for step in range(1, 5):
        w.watch.begin()
        assert w.after(50) == []
        w.watch.observe(TrainStep(step=step, loss=1 / step, grad_norm=1.0, step_time_s=1.0))


def test_before_the_first_step_nothing_is_expected() -> None:
    assert Watched().after(10_000) == []
