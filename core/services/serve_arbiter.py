"""A server and a training on one card: who is there, and what the user can say to it.

The decision is pure (`conflict_for_server`, `conflict_for_training`); `ServeArbiter` looks the
facts up and does what was chosen. Nothing is ever shrunk, paused or stopped without that word.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import psutil

from core import atomic_io
from core.config.serve import ServeSpec
from core.config.train import TrainSpec
from core.errors import AppError, ErrorCode, UsageError
from core.hardware import GpuSample, gpu_backend
from core.paths import Home
from core.planning.serve_memory import LEAST_CONTEXT_TOKENS
from core.protocol.commands import ContinueCommand, PauseCommand
from core.queue.devices import CPU, devices_of
from core.runlog.index import RunIndex, RunSummary
from core.runlog.run_dir import RunDir
from core.services.models import ModelsService
from core.services.serve import adapter_folder
from core.services.serve_forecast import ServePlan, ServeSource, plan_server, source_of
from core.services.train import model_reference
from core.supervisor import Supervisor, load_view

Choice = Literal["refuse", "share", "pause", "wait"]
CHOICES: tuple[Choice, ...] = ("refuse", "share", "pause", "wait")
_GROWTH = 0.03
"""Of the card, left free beside a training: its heaviest batch may still come."""
_SHARED_BATCH = 16
"""Chats at a time that a server beside a training is cut to, at most."""


@dataclass(frozen=True)
class Holder:
    """A run that lives on a card."""

    run_id: str
    job: str
    name: str
    devices: frozenset[str]
    memory_gib: float | None = None
    """On the card; None where the driver does not tell."""
    paused: bool = False
    """It gave the card free, or will not compute until it is told to."""


@dataclass(frozen=True)
class Conflict:
    """What stands against a start, and what can be done about it."""

    device: str
    holders: tuple[Holder, ...]
    total_gib: float | None = None
    used_gib: float | None = None
    needed_gib: float | None = None
    """Of what is to be started, at the least; None where its sizes are not known."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the spec that make it fit beside them ("share"); empty when it fits as it is."""
    offers: tuple[Choice, ...] = ("wait",)
    """What can be chosen, the gentlest first; to refuse is always possible."""

    @property
    def first(self) -> Holder:
        """Whom to name."""
        return self.holders[0]

    def error(self) -> UsageError:
        """The refusal."""
        return UsageError(
            ErrorCode.SERVE_CARD_BUSY,
            device=self.device,
            run_id=self.first.run_id,
            name=self.first.name or self.first.run_id,
            used_gib=round(self.first.memory_gib or self.used_gib or 0.0, 1),
        )


def conflict_for_server(
    spec: ServeSpec, plan: ServePlan | None, device: str, holders: Iterable[Holder]
) -> Conflict | None:
    """A training computes on the card that a server wants; None when none does.

    Args:
        spec: the server.
        plan: its forecast beside all that is there; None where the model's sizes are not known.
        device: "cuda:N"; the processor is shared without a question.
        holders: all living runs.
    """
    trains = tuple(h for h in holders if h.job == "train" and device in h.devices)
    changes = shrunk(plan) if plan else {}
    fits = plan is None or changes is not None
    # One that is paused is in the way only with what it still holds.
    there = tuple(h for h in trains if not h.paused or not fits)
    if device == CPU or not there:
        return None
    offers: tuple[Choice, ...] = (*(("share",) if fits else ()), "pause", "wait")
    return Conflict(
        device,
        there,
        plan.room.total_gib if plan else None,
        plan.room.used_gib if plan else None,
        plan.forecast.fixed_gib if plan else None,
        changes or {},
        offers,
    )


def conflict_for_training(
    devices: frozenset[str],
    holders: Iterable[Holder],
    needed_gib: float | None,
    card: GpuSample | None,
) -> Conflict | None:
    """A server holds a card that a training wants; None when none does.

    "pause" stops the server there (open requests are finished first): a server cannot be paused.
    """
    there = tuple(h for h in holders if h.job == "serve" and h.devices & devices - {CPU})
    if not there:
        return None
    total, used = (card.memory_total_gib, card.memory_used_gib) if card else (None, None)
    free = total - (used or 0.0) if total is not None else None
    fits = needed_gib is None or free is None or needed_gib <= free
    offers: tuple[Choice, ...] = (*(("share",) if fits else ()), "pause", "wait")
    device = min(there[0].devices & devices)
    return Conflict(device, there, total, used, needed_gib, {}, offers)


def shrunk(plan: ServePlan) -> dict[str, Any] | None:
    """Context and batch that fit beside what is there; {} when all fits, None when nothing does."""
    found = plan.forecast
    reserve = int(plan.room.total_gib * _GROWTH * 1024**3 / found.bytes_a_token)
    tokens = found.cache_tokens - reserve
    if found.fixed_gib > plan.room.budget_gib or tokens < LEAST_CONTEXT_TOKENS:
        return None
    if tokens >= found.wanted_tokens:
        return {}
    context = min(found.context_tokens, tokens)
    batch = max(1, min(found.batch, _SHARED_BATCH, tokens // LEAST_CONTEXT_TOKENS))
    return {"max_context_tokens": context, "max_batch_size": batch}


class ServeArbiter:
    """Looks who is on the card, and does what the user chose.

    `before_server`, `before_training`, `slowed`, `plan` and `holders` may be asked from any thread
    (a driver that sleeps takes seconds); the others belong to the supervisor's.
    """

    def __init__(self, home: Home, supervisor: Supervisor, models: ModelsService) -> None:
        self._home = home
        self._supervisor = supervisor
        self._models = models
        self._index = RunIndex(home)
        self._turn = threading.Lock()
        self._gpus = gpu_backend

    def before_server(self, spec: ServeSpec, *, besides: str = "") -> Conflict | None:
        """What stands against starting this server.

        Args:
            spec: what is to be started.
            besides: a run that is no obstacle, for example one that was just paused.

        Raises:
            UsageError: `model.*` when the model is not there.
        """
        cards = self._gpus().sample()
        holders = [h for h in self.holders(cards) if h.run_id != besides]
        plan = self.plan(spec, cards)
        device = plan.room.device if plan else _device_of(spec, len(cards))
        return conflict_for_server(spec, plan, device, holders)

    def before_training(self, spec: TrainSpec, needed_gib: float | None = None) -> Conflict | None:
        """What stands against starting this training."""
        cards = self._gpus().sample()
        devices = devices_of(spec.device, spec.parallel.nproc_per_node, len(cards))
        card = next((c for c in cards if f"cuda:{c.index}" in devices), None)
        return conflict_for_training(devices, self.holders(cards), needed_gib, card)

    def slowed(self, spec: ServeSpec | TrainSpec) -> tuple[Holder, ...]:
        """Runs of the other job on the processor that `spec` wants too: both get slower."""
        cards = self._gpus().sample()
        processes = spec.parallel.nproc_per_node if isinstance(spec, TrainSpec) else 1
        if CPU not in devices_of(spec.device, processes, len(cards)):
            return ()
        other = "serve" if isinstance(spec, TrainSpec) else "train"
        return tuple(
            h for h in self.holders(cards) if h.job == other and CPU in h.devices and not h.paused
        )

    def plan(self, spec: ServeSpec, cards: list[GpuSample] | None = None) -> ServePlan | None:
        """The forecast of a server beside what is there; None where sizes are not known."""
        source = self._source(spec)
        if source.shape is None:
            return None
        spec = self._with_folders(spec)
        cards = self._gpus().sample() if cards is None else cards
        return plan_server(spec, source.shape, cards, source=source)

    def holders(self, cards: list[GpuSample]) -> list[Holder]:
        """Living trainings and servers with what they hold."""
        with self._turn:
            found = self._index.list()
        living = [s for s in found if s.alive and s.job in ("train", "serve")]
        return [h for s in living if (h := self._holder(s, cards)) is not None]

    def pause(self, run_id: str) -> str:
        """Ask a training to hold and give the card free; `gave_free` says when it has.

        Returns the `command_id`: a training may refuse, for example one over several cards.

        Raises:
            AppError: `run.not_found`, `run.not_alive`.
        """
        self._supervisor.attach(run_id)
        return self._supervisor.send(run_id, PauseCommand(free_gpu=True))

    def gave_free(self, run_id: str) -> bool:
        """The training is paused, or gone."""
        view = self._supervisor.attach(run_id)
        return view.state.paused or view.finished or not view.alive

    def go_on(self, run_id: str) -> None:
        """Let a paused training continue.

        Raises:
            AppError: `run.not_found`, `run.not_alive`.
        """
        self._supervisor.attach(run_id)
        self._supervisor.send(run_id, ContinueCommand())

    def stop_server(self, run_id: str) -> None:
        """Let a server finish its open requests and end.

        Raises:
            AppError: `run.not_found`, `run.not_alive`.
        """
        self._supervisor.attach(run_id)
        self._supervisor.stop(run_id)

    def gone(self, run_id: str) -> bool:
        """The run has ended, its process too."""
        return not self._supervisor.attach(run_id).alive

    def _with_folders(self, spec: ServeSpec) -> ServeSpec:
        """Adapters by folder, so that they can be weighed; unknown ones are the start's affair."""
        found = []
        for name in (spec.adapter, *spec.adapters):
            with contextlib.suppress(UsageError):
                found += [str(adapter_folder(self._home, name))] if name else []
        return spec.model_copy(update={"adapter": None, "adapters": tuple(found)})

    def _source(self, spec: ServeSpec) -> ServeSource:
        model = self._models.resolve(spec.model)
        return source_of(Path(model_reference(model))) if model.path else ServeSource()

    def _holder(self, summary: RunSummary, cards: list[GpuSample]) -> Holder | None:
        try:
            run = RunDir.open(self._home.runs, summary.run_id)
            document = run.document()
            paused = summary.job == "train" and load_view(run).state.paused
        except AppError:
            return None
        spec = document.get("spec") or {}
        wanted = str(spec.get("device") or "auto")
        processes = int((spec.get("parallel") or {}).get("nproc_per_node") or 1)
        devices = devices_of(wanted, processes, len(cards))
        return Holder(
            summary.run_id,
            summary.job,
            str(document.get("name") or summary.run_id),
            devices,
            _held_gib(run, cards),
            paused,
        )


def _device_of(spec: ServeSpec, cards: int) -> str:
    return min(devices_of(spec.device, 1, cards))


def _held_gib(run: RunDir, cards: Iterable[GpuSample]) -> float | None:
    """Of all cards together, the run's process and what it started."""
    try:
        pid = int(atomic_io.read_json(run.process_json)["pid"])
    except (AppError, OSError, TypeError, KeyError, ValueError):
        return None
    family = {pid, *_children(pid)}
    held = [
        gib for c in cards for pid, gib in (c.process_memory_gib or {}).items() if pid in family
    ]
    return sum(held) if held else None


def _children(pid: int) -> set[int]:
    try:
        return {child.pid for child in psutil.Process(pid).children(recursive=True)}
    except psutil.Error:
        return set()
