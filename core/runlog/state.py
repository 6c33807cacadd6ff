"""The fold over a run's events: all that a face shows of a run.

`reduce` is pure. A repeated `seq` changes nothing, so reading a line twice is harmless. Curves
are not in the state (100,000 points would be copied on every step): `core.metrics` folds them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from core.errors import ErrorInfo
from core.protocol.events import (
    AlarmCleared,
    AlarmRaised,
    ArtifactSaved,
    CheckpointSaved,
    CommandAcknowledged,
    DownloadProgress,
    DryRunDone,
    EvalDone,
    Event,
    LearningRateChanged,
    MemoryRanOut,
    Outcome,
    PhaseChanged,
    ResourceSampled,
    RolledBack,
    RunFinished,
    RunStarted,
    SampleGenerated,
    SamplesExcluded,
    ServeAdapters,
    ServeEngine,
    ServeReady,
    ServeRequest,
    ServeSelfTest,
    ServeStats,
    TrainPlanned,
    TrainStep,
)

Status = Literal["starting", "running", "completed", "stopped", "failed", "lost"]
"""`lost` comes from the supervisor's verdict, never from events."""

MAX_ALARMS = 500
MAX_REQUESTS = 200


@dataclass(frozen=True)
class RunState:
    """One run as its events tell it."""

    run_id: str = ""
    job: str = ""
    status: Status = "starting"
    last_seq: int = 0
    num_events: int = 0
    unknown_events: int = 0
    pid: int = 0
    """Of the worker that spoke last; a resumed run has another."""
    versions: dict[str, str] = field(default_factory=dict)
    """Of the libraries that this worker runs with."""
    started_utc: float | None = None
    updated_utc: float | None = None
    finished_utc: float | None = None
    phase: str = ""
    phase_fraction: float | None = None
    phase_detail: str = ""
    paused: bool = False
    plan: TrainPlanned | None = None
    step: TrainStep | None = None
    first_step: TrainStep | None = None
    resumed_from_step: int | None = None
    evals: tuple[EvalDone, ...] = ()
    checkpoints: tuple[CheckpointSaved, ...] = ()
    """By step; one that was saved again, or turned out to be the best, stands for itself once."""
    artifacts: dict[str, ArtifactSaved] = field(default_factory=dict)
    samples: tuple[SampleGenerated, ...] = ()
    alarms: tuple[AlarmRaised, ...] = ()
    active_alarms: frozenset[str] = frozenset()
    """Alarms of a lasting condition that was not cleared yet."""
    dry_run: DryRunDone | None = None
    rollbacks: tuple[RolledBack, ...] = ()
    went_back_to: int | None = None
    """Step of the last rollback of this worker's life."""
    lr_scale: float = 1.0
    """What the schedule's rate is multiplied by from the next step on."""
    lr_changes: tuple[LearningRateChanged, ...] = ()
    """Every scaling in flight, also on branches that were left: history, like alarms."""
    excluded: frozenset[int] = frozenset()
    """Training samples that are not shown to the model any more."""
    memory_ran_out: tuple[MemoryRanOut, ...] = ()
    resources: ResourceSampled | None = None
    ready: ServeReady | None = None
    stats: ServeStats | None = None
    adapters: tuple[str, ...] = ()
    adapter_folders: dict[str, str] | None = None
    """By public name, once they were changed; before, those of the spec are loaded."""
    """Public model names with an adapter that a server has loaded now."""
    default_model: str = ""
    engine: ServeEngine | None = None
    """The last thing that happened to a server's engine."""
    self_test: ServeSelfTest | None = None
    self_test_rates: tuple[ServeSelfTest, ...] = ()
    """Of the last self-test, in order; begins anew with each."""
    requests: tuple[ServeRequest, ...] = ()
    download: DownloadProgress | None = None
    acknowledged: frozenset[str] = frozenset()
    """`command_id` of every answered command."""
    outcome: Outcome | None = None
    reason: str = ""
    error: ErrorInfo | None = None
    result: dict[str, Any] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        """The worker said its last word."""
        return self.outcome is not None

    @property
    def steps_done(self) -> int:
        """Optimizer steps in the curve; a resumed run starts at its checkpoint's."""
        return self.step.step if self.step else self.went_back_to or self.resumed_from_step or 0

    @property
    def progress(self) -> float | None:
        """0 to 1 of the whole run, where it is known."""
        if self.plan and self.plan.total_steps:
            return min(1.0, self.steps_done / self.plan.total_steps)
        return self.phase_fraction


LASTING_ALARMS = frozenset(
    {
        "stall", "disk_full", "diverging", "level_shift", "not_learning", "throughput_drop",
        "non_finite_repeated", "overfit",
    }
)  # fmt: skip


def reduce(state: RunState, event: Event) -> RunState:
    """The state after one more event. Pure; a `seq` seen before returns `state` itself."""
    return fold(state, (event,))


def fold(state: RunState, events: Iterable[Event]) -> RunState:
    """The state after all events; the same as `reduce` one by one, at a tenth of the cost.

    One copy is made at the first change and written to until it is handed out: nobody has seen it
    before, so every state that anybody holds stays as it is.
    """
    draft = state
    for event in events:
        if event.seq and event.seq <= draft.last_seq:
            continue
        if draft is state:
            draft = replace(state)
        values = draft.__dict__
        values.update(_changes(draft, event))
        values["last_seq"] = event.seq or draft.last_seq
        values["num_events"] += 1
        values["updated_utc"] = event.time_utc
    return draft


def _changes(state: RunState, event: Event) -> dict[str, Any]:
    match event:
        case TrainStep():
            return {"step": event, "first_step": state.first_step or event}
        case ServeRequest():
            return {"requests": (*state.requests[-(MAX_REQUESTS - 1) :], event)}
        case ServeStats():
            return {"stats": event}
        case ResourceSampled():
            return {"resources": event}
        case RunStarted():
            return _started(state, event)
        case PhaseChanged():
            return _phase(event)
        case TrainPlanned():
            return {"plan": event}
        case EvalDone():
            return {"evals": (*state.evals, event)}
        case CheckpointSaved():
            # Said again for a step that turned out to be the best, or was saved anew.
            others = tuple(c for c in state.checkpoints if c.step != event.step)
            return {"checkpoints": tuple(sorted((*others, event), key=lambda c: c.step))}
        case ArtifactSaved():
            return {"artifacts": {**state.artifacts, event.artifact: event}}
        case SampleGenerated():
            return {"samples": (*state.samples, event)}
        case AlarmRaised() | AlarmCleared():
            return _alarm(state, event)
        case CommandAcknowledged():
            return _acknowledged(state, event)
        case DryRunDone():
            return {"dry_run": event}
        case RolledBack():
            return _rolled_back(state, event)
        case LearningRateChanged():
            return {"lr_scale": event.lr_scale, "lr_changes": (*state.lr_changes, event)}
        case SamplesExcluded():
            return {"excluded": state.excluded | set(event.samples)}
        case MemoryRanOut():
            return {"memory_ran_out": (*state.memory_ran_out, event)}
        case ServeReady():
            return {
                "ready": event,
                "adapters": event.adapters,
                "default_model": event.model_id,
                "engine": None,
            }
        case ServeAdapters():
            return {
                "adapters": event.adapters,
                "default_model": event.default,
                "adapter_folders": event.folders,
            }
        case ServeEngine():
            return {"engine": event}
        case ServeSelfTest():
            anew = state.self_test is None or state.self_test.phase != "running"
            return {
                "self_test": event,
                "self_test_rates": (*(() if anew else state.self_test_rates), event),
            }
        case DownloadProgress():
            return {"download": event}
        case RunFinished():
            return _finished(event)
        case _:
            return {"unknown_events": state.unknown_events + 1}


def _started(state: RunState, event: RunStarted) -> dict[str, Any]:
    return {
        **_cut_back(state, event.resumed_from_step),
        "run_id": event.run_id,
        "job": event.job,
        "pid": event.pid,
        "versions": event.versions,
        "status": "running",
        "started_utc": state.started_utc or event.time_utc,
        "resumed_from_step": event.resumed_from_step,
        "went_back_to": None,
        "phase": "starting",
        "phase_fraction": None,
        "phase_detail": "",
        "paused": False,
        "ready": None,
        "outcome": None,
        "reason": "",
        "error": None,
        "finished_utc": None,
        "active_alarms": frozenset(),
    }


def _cut_back(state: RunState, step: int | None) -> dict[str, Any]:
    """A resume voids what was measured behind its checkpoint; alarms stay, they are history."""
    if step is None:
        return {}
    return {
        "step": state.step if state.step and state.step.step <= step else None,
        "evals": tuple(e for e in state.evals if e.step <= step),
        "checkpoints": tuple(c for c in state.checkpoints if c.step <= step),
        "samples": tuple(s for s in state.samples if s.step <= step),
    }


def _rolled_back(state: RunState, event: RolledBack) -> dict[str, Any]:
    return {
        **_cut_back(state, event.to_step),
        "rollbacks": (*state.rollbacks, event),
        "went_back_to": event.to_step,
        "active_alarms": state.active_alarms & {"disk_full"},  # the others left with their branch
        "lr_scale": event.lr_scale,
    }


def _phase(event: PhaseChanged) -> dict[str, Any]:
    return {
        "phase": event.phase,
        "phase_fraction": event.fraction,
        "phase_detail": event.detail,
    }


def _alarm(state: RunState, event: AlarmRaised | AlarmCleared) -> dict[str, Any]:
    if isinstance(event, AlarmCleared):
        return {"active_alarms": state.active_alarms - {event.alarm}}
    active = state.active_alarms | ({event.alarm} & LASTING_ALARMS)
    return {
        "alarms": (*state.alarms[-(MAX_ALARMS - 1) :], event),
        "active_alarms": active,
        "paused": state.paused or event.action == "pause",
    }


def _acknowledged(state: RunState, event: CommandAcknowledged) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if event.in_reply_to:
        changes["acknowledged"] = state.acknowledged | {event.in_reply_to}
    if event.accepted and event.command in ("pause", "continue", "exclude", "roll_back"):
        changes["paused"] = event.command == "pause"
    return changes


def _finished(event: RunFinished) -> dict[str, Any]:
    return {
        "status": event.outcome,
        "outcome": event.outcome,
        "reason": event.reason,
        "error": event.error,
        "result": event.result,
        "finished_utc": event.time_utc,
        "phase": "",
        "phase_fraction": None,
        "paused": False,
        "active_alarms": frozenset(),
    }
