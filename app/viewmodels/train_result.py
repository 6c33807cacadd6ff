"""What came of a run: the best state against the last one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from core.runlog.state import RunState
from core.services.models import ModelsService
from core.supervisor import RunView

_RISE = 0.02
"""Nats by which the evaluation loss must have risen again to be called over-fit."""


@dataclass(frozen=True)
class Outcome:
    """Evaluation losses over all splits; None where there was no evaluation."""

    first: float | None = None
    last: float | None = None
    best: float | None = None
    best_step: int | None = None
    best_checkpoint: int | None = None
    """Step of the kept checkpoint that is best."""
    has_adapter: bool = False
    has_model: bool = False

    @property
    def overfit(self) -> bool:
        """The model knew better some steps ago."""
        if self.best is None or self.last is None:
            return False
        return self.last > self.best + _RISE


def outcome_of(view: RunView) -> Outcome:
    """Read from the curves and the folder of a run that ended."""
    evals = view.series.mean_eval_loss
    has_model = "model" in view.state.artifacts and view.run.model.is_dir()
    has_adapter = view.run.adapter.is_dir() and not has_model
    if not len(evals):
        return Outcome(has_adapter=has_adapter, has_model=has_model)
    best = int(evals.ys.argmin())
    return Outcome(
        first=float(evals.ys[0]),
        last=float(evals.ys[-1]),
        best=float(evals.ys[best]),
        best_step=int(evals.xs[best]),
        best_checkpoint=best_checkpoint(view.state),
        has_adapter=has_adapter,
        has_model=has_model,
    )


def best_checkpoint(state: RunState) -> int | None:
    """Step of the newest checkpoint that was the best when it was saved."""
    return max((c.step for c in state.checkpoints if c.best), default=None)


def listed_model(models: ModelsService, path: Path, name: str) -> str:
    """Id of a trained model in the list of models; it is added where it is not there yet.

    Raises:
        UsageError: it cannot be used, or the name is taken by another one.
    """
    place = path.resolve()
    known = (m.id for m in models.list() if m.path is not None and m.path.resolve() == place)
    return next(known, None) or models.add(path, name).id
