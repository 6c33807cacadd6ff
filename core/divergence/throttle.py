"""Says an alarm once a burst: a run of NaN for 10,000 steps is not 10,000 alarms."""

from __future__ import annotations


class Throttle:
    """Lets an alarm through when its condition was calm for `calm_steps`, else ever more rarely.

    Within one burst it speaks at its 1st, 10th, 100th, 1000th step, so that a lasting trouble is
    seen to last, at a cost that grows with the logarithm of the run's length.
    """

    def __init__(self, calm_steps: int = 50) -> None:
        self._calm_steps = calm_steps
        self._last_step: dict[str, int] = {}
        self._in_burst: dict[str, int] = {}

    def lets_through(self, alarm: str, step: int) -> bool:
        """Whether the alarm of this step is to be said."""
        last = self._last_step.get(alarm)
        calm = last is None or step - last > self._calm_steps
        count = 1 if calm else self._in_burst.get(alarm, 0) + 1
        self._last_step[alarm], self._in_burst[alarm] = step, count
        return str(count).strip("0") == "1"

    def state(self) -> dict[str, dict[str, int]]:
        """For a checkpoint: plain JSON."""
        return {"last_step": dict(self._last_step), "in_burst": dict(self._in_burst)}

    def restore(self, state: dict[str, dict[str, int]]) -> None:
        """Back to what `state` returned."""
        self._last_step = dict(state["last_step"])
        self._in_burst = dict(state["in_burst"])
