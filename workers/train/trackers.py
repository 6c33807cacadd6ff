"""Other places that get a run's curves: TensorBoard and Weights & Biases, off unless asked for.

A tracker is a listener: one that fails is dropped and said, and the run goes on. Curves of a step
that a rollback took back are drawn over, as in DeepDeck's own plots.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any, Protocol

from core.config.train import Tracker as Name
from core.config.train import TrainSpec
from core.divergence.codes import TRACKER_FAILED
from core.errors import ErrorCode, UsageError
from core.protocol.events import AlarmRaised, EvalDone, TrainStep
from core.runlog.run_dir import RunDir
from workers.harness.context import WorkerContext

log = logging.getLogger(__name__)

PACKAGES: dict[Name, str] = {"tensorboard": "tensorboard", "wandb": "wandb"}
FOLDERS: dict[Name, str] = {"tensorboard": "tensorboard", "wandb": "wandb"}
"""Inside the run folder."""


class Tracker(Protocol):
    """One other place."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Take values of a step; must return at once."""

    def went_back(self, step: int) -> None:
        """Steps behind this one are void."""

    def close(self) -> None:
        """Write what is left."""


class TensorBoard:
    """Event files under `tensorboard/` of the run folder (`tensorboard --logdir <runs>`)."""

    def __init__(self, run: RunDir, first_step: int) -> None:
        self._folder = str(run.path / FOLDERS["tensorboard"])
        self._writer = self._open(first_step)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """See `Tracker`. A thread of the writer does the writing."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def went_back(self, step: int) -> None:
        """A new file says that the steps of the one before are void from `step` + 1 on."""
        self._writer.close()
        self._writer = self._open(step + 1)

    def close(self) -> None:
        """See `Tracker`."""
        self._writer.close()

    def _open(self, purge_step: int) -> Any:
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(self._folder, purge_step=purge_step)


class WeightsAndBiases:
    """A run of the project `deepdeck` (or `WANDB_PROJECT`).

    Sent over the network only for a user who has logged in with wandb's own tools; otherwise it
    stays under `wandb/` of the run folder, for `wandb sync`. No key passes through here.
    """

    def __init__(self, run: RunDir, spec: TrainSpec) -> None:
        import wandb

        mode = os.environ.get("WANDB_MODE") or ("online" if wandb.api.api_key else "offline")
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "deepdeck"),
            name=spec.name or run.run_id,
            id=run.run_id,
            resume="allow",
            dir=str(run.path),
            mode=mode,
            config=spec.model_dump(mode="json"),
            settings=wandb.Settings(init_timeout=30, console="off", silent=True),
        )
        # wandb's own step may not fall, ours does in a rollback.
        self._run.define_metric("*", step_metric="step")

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """See `Tracker`. Another process of wandb's does the writing."""
        self._run.log({"step": step, **values})

    def went_back(self, step: int) -> None:
        """Marked; a run there cannot take points back."""
        self._run.log({"step": step, "train/rolled_back": 1.0})

    def close(self) -> None:
        """See `Tracker`."""
        self._run.finish()


def check(spec: TrainSpec) -> None:
    """Find out before the start that a package is missing.

    Raises:
        UsageError: `train.needs_package`.
    """
    for name in spec.report_to:
        if find_spec(PACKAGES[name]) is None:
            raise UsageError(
                ErrorCode.TRAIN_NEEDS_PACKAGE, package=PACKAGES[name], feature=f"report_to={name}"
            )


class Trackers:
    """All trackers of one run behind one door that lets nothing through but an alarm."""

    def __init__(self, ctx: WorkerContext, spec: TrainSpec, first_step: int) -> None:
        self._ctx = ctx
        self._step = first_step
        self._open: dict[str, Tracker] = {}
        for name in spec.report_to if ctx.team.is_main else ():
            self._try(name, lambda name=name: self._start(name, spec))  # type: ignore[misc]

    def step(self, event: TrainStep) -> None:
        """Log a step; one that does not follow the last one tells of a rollback."""
        if event.step <= self._step:
            back_to = event.step - 1
            self._tell(back_to, lambda tracker: tracker.went_back(back_to))
        values = {
            "train/loss": event.loss,
            "train/grad_norm": event.grad_norm,
            "train/learning_rate": event.learning_rate,
            "train/epoch": event.epoch,
            "train/tokens_per_second": event.tokens_per_second,
            "train/memory_gib": event.memory_gib,
        }
        self._tell(event.step, lambda tracker: tracker.log(event.step, values))

    def evaluation(self, events: list[EvalDone]) -> None:
        """Log the splits of one evaluation."""
        if events:
            step, values = events[0].step, {f"eval/{e.split}_loss": e.loss for e in events}
            self._tell(step, lambda tracker: tracker.log(step, values))

    def close(self) -> None:
        """At the end of the run, whatever end it is."""
        self._tell(self._step, lambda tracker: tracker.close())
        self._open.clear()

    def _start(self, name: str, spec: TrainSpec) -> None:
        run = self._ctx.run
        self._open[name] = (
            TensorBoard(run, self._step + 1)
            if name == "tensorboard"
            else WeightsAndBiases(run, spec)
        )

    def _tell(self, step: int, call: Callable[[Tracker], None]) -> None:
        self._step = step
        for name, tracker in tuple(self._open.items()):
            self._try(name, lambda tracker=tracker: call(tracker))  # type: ignore[misc]

    def _try(self, name: str, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as e:
            log.exception("%s failed", name)
            self._open.pop(name, None)
            self._ctx.reporter.emit(
                AlarmRaised(
                    alarm=TRACKER_FAILED,
                    severity="note",
                    step=self._step,
                    detail=f"{name}: {type(e).__name__}: {e}",
                    action="notify",
                )
            )
