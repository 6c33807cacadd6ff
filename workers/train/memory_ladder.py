"""What happens when memory runs out: find out why, say what can be done, and, with consent given
before, do it: save, let go of everything, take the next rung, and go on from the same cursor.
"""

from __future__ import annotations

import gc
import importlib.util
import json
import logging
import os
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from core.config.train import TrainSpec
from core.errors import AppError
from core.hardware import GpuUser, gpu_backend, users_of
from core.hardware.gpu_users import spills_over
from core.planning.ladder import Circumstances, apply, changes_of, climb, ladder
from core.protocol.events import Finding, LadderRung, MemoryRanOut
from core.runlog.overrides import add_changes
from workers.harness.context import WorkerContext
from workers.harness.entry import say_started
from workers.train.checkpoint_files import newest_step
from workers.train.device import MemoryMeter, Place, out_of_memory, tried_bytes
from workers.train.forecast import Outlook, first_guess
from workers.train.heaviest import Heaviest
from workers.train.parts import Parts
from workers.train.sampling import card_sample, own_card
from workers.train.trainer import Trainer

log = logging.getLogger(__name__)

GIB = 1024**3
MOST_TRIES = 32
"""More than there are rungs, a micro-batch of 4,096 halved to one row included; a loop that does
not end would be worse than a failed run."""

LARGEST_PART = "memory.largest_part"
FRAGMENTED = "memory.fragmented"
GREW = "memory.grew"
LONGEST_SAMPLE = "memory.longest_sample"
WHILE = "memory.while"
OTHER_PROGRAMS = "memory.other_programs"
HOST_FULL = "memory.host_full"
SPILLED = "memory.spilled"
WAS_SAVED = "memory.was_saved"

_FRAGMENT_SHARE = 0.1
_GROWTH_SHARE = 0.1


@dataclass
class Attempt:
    """What one try holds; given up before the next."""

    spec: TrainSpec
    parts: Parts | None = None
    trainer: Trainer | None = None

    @property
    def heaviest(self) -> Heaviest | None:
        """The micro-batch that needs the most; None while the model was loaded."""
        return self.parts.heaviest if self.parts else None

    def let_go(self) -> None:
        """Drop every reference to the model."""
        self.parts = self.trainer = None


@dataclass(frozen=True)
class _Shortage:
    """The moment of the error, before anything was freed."""

    error: AppError
    allocated_gib: float
    reserved_gib: float
    limit_gib: float
    free_gib: float
    """Of the device, for anybody."""
    tried_gib: float
    phase: str
    on_card: bool
    """The card's memory ran out, not the computer's."""
    others: tuple[GpuUser, ...] = ()
    spilled: bool = False

    @property
    def missing_gib(self) -> float:
        """At least so much; fragments count as usable, the next allocator packs them anew."""
        usable = self.free_gib + self.reserved_gib - self.allocated_gib
        return max(0.0, self.tried_gib - usable)


@dataclass
class MemoryLadder:
    """Runs tries until one ends, or no rung is left, or nobody allowed one."""

    ctx: WorkerContext
    place: Place
    meter: MemoryMeter

    def run(self, spec: TrainSpec, work: Callable[[Attempt], dict[str, Any]]) -> dict[str, Any]:
        """The result of `work`, with as many rungs as it took.

        Args:
            spec: of the run, with what was changed before.
            work: prepares and trains; puts what it makes into the attempt as soon as it is there.

        Raises:
            AppError: `train.out_of_memory`; `train.out_of_memory` was said with the ladder.
        """
        for tries in range(MOST_TRIES):
            attempt = Attempt(spec)
            try:
                return work(attempt)
            except (MemoryError, RuntimeError) as e:
                shortage = self._look(e)
                if shortage is None:
                    raise
                log.exception("memory ran out")
                _clear_frames(e)
            changed = self._deal(attempt, shortage)
            attempt.let_go()
            if changed is None or tries == MOST_TRIES - 1:
                raise shortage.error
            spec = changed
            self._begin_again()
        raise AssertionError("the last try returns or raises")

    def _look(self, e: BaseException) -> _Shortage | None:
        """The numbers of this moment, or None for another error."""
        error = out_of_memory(e, self.meter)
        if error is None:
            return None
        allocated, _ = self.meter.read_gib()
        on_card = self.place.device == "cuda" and not isinstance(e, MemoryError)
        on_card = on_card and "CPUAllocator" not in str(e)
        others, spilled = self._card(allocated) if on_card else ((), False)
        return _Shortage(
            error=error,
            allocated_gib=allocated,
            reserved_gib=self.meter.reserved_gib or allocated,
            limit_gib=self.meter.limit_gib,
            free_gib=self.meter.free_gib(),
            tried_gib=tried_bytes(str(e)) / GIB,
            phase=self.ctx.reporter.last_phase,
            on_card=on_card,
            others=others,
            spilled=spilled,
        )

    def _card(self, own_gib: float) -> tuple[tuple[GpuUser, ...], bool]:
        """Other programs on the card, and whether the driver moved some of ours away."""
        number = own_card(self.place.device)
        sample = None if number is None else card_sample(gpu_backend(), number)
        if sample is None:
            return (), False
        return users_of(sample, besides={os.getpid()}), spills_over(sample, own_gib)

    def _deal(self, attempt: Attempt, shortage: _Shortage) -> TrainSpec | None:
        """Say what happened; the spec to go on with, or None when the run ends here."""
        outlook = self._outlook(attempt)
        facts = _circumstances(outlook, attempt)
        findings = _findings(attempt, shortage, outlook)
        step = attempt.parts.state.step if attempt.parts else 0
        saved = attempt.trainer.rescue() if attempt.trainer else True
        if attempt.trainer and step and saved:
            findings.append(Finding(code=WAS_SAVED, params={"step": step}))
        allowed = attempt.spec.oom_ladder and self.ctx.team.size == 1
        rungs = climb(facts, shortage.missing_gib) if allowed else ()
        self.ctx.reporter.emit(
            MemoryRanOut(
                step=step,
                needed_gib=round(shortage.tried_gib, 3),
                allocated_gib=round(shortage.allocated_gib, 3),
                reserved_gib=round(shortage.reserved_gib, 3),
                limit_gib=round(shortage.limit_gib, 3),
                longest_tokens=attempt.heaviest.longest_tokens if attempt.heaviest else 0,
                parts_gib=outlook.parts_gib,
                findings=findings,
                ladder=list(ladder(facts)),
                applied=",".join(r.code for r in rungs),
            )
        )
        return self._take(attempt.spec, rungs, step) if rungs else None

    def _outlook(self, attempt: Attempt) -> Outlook:
        if attempt.parts is not None and attempt.parts.outlook is not None:
            return attempt.parts.outlook
        return first_guess(_config_of(attempt), attempt.spec, self.place)

    def _take(self, spec: TrainSpec, rungs: tuple[LadderRung, ...], step: int) -> TrainSpec:
        """Write the changes down, so that a later resume uses them as well."""
        changes = changes_of(rungs)
        code = ",".join(r.code for r in rungs)
        add_changes(self.ctx.run, changes, code=code, step=step)
        return apply(spec, changes)

    def _begin_again(self) -> None:
        """With nothing held, from the newest checkpoint or from the start."""
        self.ctx.forget_beats()
        gc.collect()
        if self.place.device == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        self.ctx.resumed_from_step = newest_step(self.ctx.run) or 0
        say_started("train", self.ctx, os.getpid())


def _clear_frames(e: BaseException) -> None:
    """Frames of the trace hold the tensors that were being computed; so do those of the errors
    that came before it.
    """
    chain: BaseException | None = e
    seen: set[int] = set()
    while chain is not None and id(chain) not in seen:
        seen.add(id(chain))
        traceback.clear_frames(chain.__traceback__)
        chain = chain.__cause__ or chain.__context__


def _circumstances(outlook: Outlook, attempt: Attempt) -> Circumstances:
    return Circumstances(
        shape=outlook.shape,
        spec=attempt.spec,
        situation=outlook.situation,
        has_bitsandbytes=importlib.util.find_spec("bitsandbytes") is not None,
        cards=max(1, len(gpu_backend().sample())),
    )


def _config_of(attempt: Attempt) -> dict[str, Any]:
    """Of the model that did not fit, from its folder: it may not have been loaded."""
    try:
        found = json.loads((Path(attempt.spec.model) / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _findings(attempt: Attempt, shortage: _Shortage, outlook: Outlook) -> list[Finding]:
    """Most telling first."""
    found = [Finding(code=WHILE, params={"phase": shortage.phase})]
    if not shortage.on_card and attempt.parts and attempt.parts.place.device == "cuda":
        found.append(Finding(code=HOST_FULL, params={"free_gib": round(shortage.free_gib, 2)}))
    forecast = outlook.forecast
    if forecast is not None:
        facts: dict[str, Any] = {"part": forecast.largest}
        facts["gib"] = round(forecast.parts_gib[forecast.largest], 2)
        found.append(Finding(code=LARGEST_PART, params=facts))
    fragments = shortage.reserved_gib - shortage.allocated_gib
    if fragments > max(_FRAGMENT_SHARE * shortage.limit_gib, shortage.tried_gib):
        found.append(Finding(code=FRAGMENTED, params={"gib": round(fragments, 2)}))
    found += _growth(attempt)
    if attempt.heaviest and attempt.parts:
        found.append(_longest(attempt.heaviest, attempt.parts))
    found += _of_the_card(shortage)
    return found


def _growth(attempt: Attempt) -> list[Finding]:
    """Memory that rose from step to step: something is kept that should not be."""
    trainer = attempt.trainer
    first, last = trainer.memory_first_and_last if trainer else (None, None)
    if first is None or last is None or last - first < max(0.1, _GROWTH_SHARE * first):
        return []
    return [Finding(code=GREW, params={"from_gib": round(first, 2), "to_gib": round(last, 2)})]


def _longest(heaviest: Heaviest, parts: Parts) -> Finding:
    file, line = parts.data.train.source(heaviest.sample)
    facts = {
        "sample": heaviest.sample,
        "tokens": heaviest.longest_tokens,
        "rows": heaviest.rows,
        "file": file.name,
        "line": line,
    }
    return Finding(code=LONGEST_SAMPLE, params=facts)


def _of_the_card(shortage: _Shortage) -> list[Finding]:
    found = []
    if shortage.others:
        names = ", ".join(
            f"{u.name or '?'} ({u.pid}): {u.memory_gib or 0:.1f} GiB" for u in shortage.others
        )
        total = sum(u.memory_gib or 0.0 for u in shortage.others)
        facts: dict[str, Any] = {"programs": names, "gib": round(total, 2)}
        found.append(Finding(code=OTHER_PROGRAMS, params=facts))
    if shortage.spilled:
        found.append(Finding(code=SPILLED, params={"gib": round(shortage.allocated_gib, 2)}))
    return found
