"""Training: check everything first, then make the run and start its worker."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from core.catalog import ModelInfo
from core.config.identity import learning_identity
from core.config.presets import merge
from core.config.train import TrainSpec, current_names
from core.datasets import Dataset, open_dataset, validate
from core.datasets.dataset import DataFile
from core.errors import AppError, ErrorCode, ErrorInfo, UsageError
from core.paths import Home
from core.planning.calibration import Calibration
from core.planning.shapes import shape_of_folder
from core.runlog.overrides import add_changes, effective_spec
from core.runlog.run_dir import RunDir, new_run_id
from core.services import memory
from core.services.documents import run_document
from core.services.models import ModelsService
from core.services.train_checks import combination_problems, package_problems, targets_of
from core.supervisor import RunView, Supervisor

if TYPE_CHECKING:
    from core.planning import MemoryForecast, Verdict
    from core.protocol.events import LadderRung

WORKER_MODULE = "workers.train"
_BYTES_A_TOKEN = 4.0
"""Of a data file, its JSON around the text included; English and Chinese text are both near it."""


@dataclass(frozen=True)
class TrainPlanPreview:
    """What a spec will do, known before anything is started."""

    spec: TrainSpec
    """With absolute paths for model and data."""
    model: ModelInfo
    dataset: Dataset
    train_samples: int
    eval_samples: int
    """As many as will be evaluated at a time, over all splits."""
    steps_per_epoch: int
    total_steps: int
    """The worker may plan fewer: samples without a target token are dropped there."""
    warmup_steps: int
    steps_are_estimate: bool = False
    """How many rows the samples fill is known to the worker alone, which has the tokens."""
    memory: MemoryForecast | None = None
    """At the peak of a step; None for models whose sizes are not known."""
    verdict: Verdict | None = None
    """Whether that fits into what is free now, and who else uses the card."""
    measures: tuple[LadderRung, ...] = ()
    """What would save memory, gentlest first; empty when it fits."""
    target_modules: tuple[str, ...] = ()
    """What gets an adapter, with counts: "q_proj ×30". Empty for full fine-tuning, and where only
    the loaded model will tell (GGUF)."""


class SpecProblems(UsageError):
    """Everything that is wrong with a spec, the first as the error itself."""

    def __init__(self, problems: tuple[ErrorInfo, ...]) -> None:
        first = problems[0]
        super().__init__(ErrorCode(first.code), detail=first.detail, **first.params)
        self.problems = problems


class TrainService:
    """Prepare, start and resume training runs."""

    def __init__(self, home: Home, supervisor: Supervisor, models: ModelsService) -> None:
        self._home = home
        self._supervisor = supervisor
        self._models = models

    def prepare(self, spec: TrainSpec) -> TrainPlanPreview:
        """Check model, data and recipe against each other; nothing is written.

        Raises:
            SpecProblems: a `UsageError` whose `problems` lists all that was found.
        """
        problems: list[ErrorInfo] = []
        model = _try(problems, lambda: self._models.resolve(spec.model))
        dataset = _try(problems, lambda: open_dataset(_absolute(spec.data)))
        if dataset is not None:
            problems += validate(dataset).problems
        problems += package_problems(spec)
        problems += combination_problems(spec, model)
        targets = None
        if model is not None:
            targets = _try(problems, lambda: targets_of(spec, model))
        preview = None
        if model is not None and dataset is not None:
            preview = _with_memory(_preview(spec, model, dataset), self._home)
            preview = replace(preview, target_modules=targets.labels if targets else ())
            problems += _warmup_problems(preview)
        if problems or preview is None:
            raise SpecProblems(tuple(problems))
        return preview

    def start(self, spec: TrainSpec, plan: TrainPlanPreview | None = None) -> RunView:
        """Prepare (unless the plan is at hand), make the run folder and start the worker.

        Raises:
            SpecProblems: nothing was written.
            AppError: `disk.full`, `folder.read_only`, `worker.start_failed`.
        """
        plan = plan or self.prepare(spec)
        name = spec.name or f"{plan.model.name} · {plan.dataset.name}"
        document = run_document("train", plan.spec, name=name, seed=spec.seed)
        document["dataset"] = plan.dataset.name
        document["model"] = plan.model.id
        label = spec.name or plan.dataset.name
        run = RunDir.create(self._home.runs, new_run_id("train", label), document)
        return self._supervisor.start(run, WORKER_MODULE)

    def resume(self, run_id: str, changes: dict[str, Any] | None = None) -> RunView:
        """Go on from the newest checkpoint, in the same folder.

        A run that ran out of memory before its first checkpoint begins again.

        Args:
            run_id: which run.
            changes: fields of the spec to go on with, nested as there, for example those of a
                rung of the ladder; only what does not change what is learned.

        Raises:
            UsageError: `run.not_found`, `run.still_alive`, `run.not_resumable` when it was
                completed, `checkpoint.none`, `input.bad_value` for changes.
            AppError: as `start`.
        """
        view = self._supervisor.catch_up(run_id)
        if view.alive:
            raise UsageError(ErrorCode.RUN_STILL_ALIVE, run_id=run_id)
        if view.status == "completed":
            raise UsageError(ErrorCode.RUN_NOT_RESUMABLE, run_id=run_id, detail="completed")
        if view.run.newest_checkpoint() is None and not view.state.memory_ran_out:
            raise UsageError(ErrorCode.CHECKPOINT_NONE, run_id=run_id)
        if changes:
            _change(view, changes)
        return self._supervisor.start(view.run, WORKER_MODULE)


def rows_are_estimate(spec: TrainSpec) -> bool:
    """Rows are not samples: several share one, or a document fills many."""
    return spec.packing or spec.stage == "pretrain"


def training_rows(spec: TrainSpec, dataset: Dataset) -> int:
    """What an epoch has of what `spec.window_samples` counts; about, where rows are filled."""
    samples = dataset.counts["train"]
    if not rows_are_estimate(spec):
        return samples
    tokens = sum(_own_bytes(file) for file in dataset.train) / _BYTES_A_TOKEN
    rows = max(1, math.ceil(tokens / spec.seq_len))
    return rows if spec.stage == "pretrain" else min(samples, rows)


def _own_bytes(file: DataFile) -> float:
    """Of the rows that were not held out."""
    held_out = len(file.held_out) if file.part != "all" else 0
    return file.size_bytes * file.rows / max(1, file.rows + held_out)


def planned_steps(spec: TrainSpec, samples: int) -> tuple[int, int]:
    """Optimizer steps in an epoch and in the whole run."""
    window = spec.window_samples
    per_epoch = max(1, math.ceil(samples / window))
    in_all = math.ceil(spec.num_train_epochs * samples)
    return per_epoch, spec.max_steps or max(1, math.ceil(in_all / window))


def planned_warmup(spec: TrainSpec, total_steps: int) -> int:
    """Steps of linear warm-up."""
    if spec.warmup_steps is not None:
        return spec.warmup_steps
    return min(math.ceil(spec.warmup_ratio * total_steps), total_steps - 1)


def _change(view: RunView, changes: dict[str, Any]) -> None:
    """Write down what a run goes on with.

    Raises:
        UsageError: `input.bad_value` for what cannot be, or would change what is learned.
    """
    changes = current_names(changes)
    values = effective_spec(view.run)
    now, then = TrainSpec.parse(values), TrainSpec.parse(merge(values, changes))
    before, after = learning_identity(now), learning_identity(then)
    for field in before:
        if before[field] != after[field]:
            raise UsageError(
                ErrorCode.BAD_VALUE,
                field=field,
                value=str(after[field])[:80],
                detail="this would change what the run learns; start a new run for it",
            )
    add_changes(view.run, changes, code="user", step=view.state.steps_done)


def _with_memory(plan: TrainPlanPreview, home: Home) -> TrainPlanPreview:
    """The plan with the forecast; without one where the model's sizes are not told."""
    assert plan.model.path is not None
    shape = None if plan.model.gguf_file else shape_of_folder(plan.model.path)
    calibration = Calibration(home.memory_calibration)
    found = memory.forecast(plan.spec, shape, plan.dataset, calibration=calibration)
    if found is None:
        return plan
    forecast, verdict = found
    fits = verdict.fit == "fits"
    measures = () if fits else memory.measures(plan.spec, shape, plan.dataset)
    return replace(plan, memory=forecast, verdict=verdict, measures=measures)


def _preview(spec: TrainSpec, model: ModelInfo, dataset: Dataset) -> TrainPlanPreview:
    per_epoch, total = planned_steps(spec, training_rows(spec, dataset))
    evals = (n for split, n in dataset.counts.items() if split != "train")
    return TrainPlanPreview(
        spec=spec.model_copy(update={"model": model_reference(model), "data": str(dataset.path)}),
        model=model,
        dataset=dataset,
        train_samples=dataset.counts["train"],
        eval_samples=sum(min(n, spec.eval_max_samples) for n in evals),
        steps_per_epoch=per_epoch,
        total_steps=total,
        warmup_steps=planned_warmup(spec, total),
        steps_are_estimate=rows_are_estimate(spec),
    )


def model_reference(model: ModelInfo) -> str:
    """The folder, or the GGUF file in it: what a worker loads needs no library to find."""
    assert model.path is not None
    folder = model.path.resolve()
    return str(folder / model.gguf_file if model.gguf_file else folder)


def _warmup_problems(plan: TrainPlanPreview) -> list[ErrorInfo]:
    if plan.warmup_steps == 0 or plan.warmup_steps < plan.total_steps:
        return []
    facts = {"warmup_steps": plan.warmup_steps, "total_steps": plan.total_steps}
    return [ErrorInfo(code=ErrorCode.TRAIN_WARMUP_TOO_LONG.value, params=facts)]


def _absolute(path: str) -> Path:
    return Path(path).expanduser().resolve()


T = TypeVar("T")


def _try(problems: list[ErrorInfo], call: Callable[[], T]) -> T | None:
    """The result, or None with the problem kept: a form shows all of them at once."""
    try:
        return call()
    except AppError as e:
        problems.append(e.info)
        return None
