"""The heaviest micro-batch tried before the first step: what it takes, and whether saving works.

Nothing is left behind: weights, random state and optimizer are what they were, so a run with a
dry run equals the same run without one, bit for bit on the CPU.
"""

from __future__ import annotations

import contextlib
import logging
import math
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch

from core import atomic_io
from core.errors import AppError
from core.hardware import gpu_backend
from core.planning.calibration import method_of
from core.protocol.events import DryRunDone, Finding
from core.runlog.run_dir import RunDir
from workers.harness.context import WorkerContext
from workers.train import checkpoint, checkpoint_files, random_state
from workers.train.batches import Window
from workers.train.forecast import Outlook, calibration, card_name
from workers.train.heaviest import Heaviest
from workers.train.interrupts import check
from workers.train.parts import Parts
from workers.train.quantization import model_bytes
from workers.train.sampling import Sampler, own_card

log = logging.getLogger(__name__)

GIB = 1024**3
LONGEST_PASS_S = 15.0
"""A pass that takes longer is not repeated: the whole dry run is to take a minute at most."""
LARGEST_SAVE_BYTES = 2 * GIB
"""Larger checkpoints are not written for a try; their size is known without it."""
TIGHT = 0.95
"""Of the card: above it the next fragment or longer answer is one too many."""

BEYOND_DOUBT = 1.1
"""Forecast over what is free, on a processor."""

NOT_FINITE = "dry_run.not_finite"
DISK_SMALL = "dry_run.disk_small"
SAVE_FAILED = "dry_run.save_failed"
MEMORY_TIGHT = "dry_run.memory_tight"


@dataclass
class _Found:
    """What a try found so far."""

    weights_bytes: int = 0
    optimizer_bytes: int = 0
    base_bytes: int = 0
    """Held before the first pass: weights and optimizer."""
    peak_bytes: int = 0
    pass_s: float = 0.0
    power_w: float | None = None
    finite: bool = True
    checkpoint_bytes: int = 0
    problems: list[Finding] = field(default_factory=list)


def try_out(ctx: WorkerContext, parts: Parts, heaviest: Heaviest, outlook: Outlook) -> DryRunDone:
    """Try the heaviest micro-batch and a checkpoint, and say `train.dry_run`.

    Raises:
        StopWanted: a stop was asked for meanwhile.
        torch.OutOfMemoryError, RuntimeError: it does not fit; nothing was changed then either.
    """
    ctx.reporter.phase("dry_run")
    refuse_what_would_be_killed(parts, outlook)
    found = _Found()
    with _nothing_left_behind(parts):
        _allocate_states(ctx, parts, found)
        _pass_twice(ctx, parts, heaviest, found)
        check(ctx)
        if ctx.team.size == 1:
            _try_saving(ctx.run, parts, found)
    done = _summary(parts, heaviest, found)
    ctx.reporter.emit(done)
    _learn(parts, outlook, found)
    return done


def refuse_what_would_be_killed(parts: Parts, outlook: Outlook) -> None:
    """A processor's memory does not fail, it is promised: the system kills whoever uses too much,
    often something else. So a batch that is far too large is not tried there.

    Raises:
        MemoryError: with what would be needed.
    """
    forecast = outlook.forecast
    if parts.place.device != "cpu" or forecast is None:
        return
    there = sum(forecast.parts_gib[part] for part in ("weights", "adapter", "overhead"))
    missing, free = forecast.total_gib - there, parts.meter.free_gib()
    if missing > free * BEYOND_DOUBT:
        # The unit is in the words that `device.tried_bytes` reads.
        raise MemoryError(f"by the forecast: tried to allocate {missing:.2f} GiB, {free:.2f} free")


@contextlib.contextmanager
def _nothing_left_behind(parts: Parts) -> Iterator[None]:
    """Random state, learning rates, gradients and optimizer as they were, whatever happens."""
    plain, generators = random_state.capture()
    optimizer = parts.optimizer
    rates = [group["lr"] for group in optimizer.param_groups]
    try:
        yield
    finally:
        for parameter in _trained(parts):
            parameter.grad = None
        # Only before the first step is a dry run made: there was no state yet.
        optimizer.state.clear()
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        random_state.restore(plain, generators)
        if parts.place.device == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()


def _trained(parts: Parts) -> list[torch.nn.Parameter]:
    return [p for group in parts.optimizer.param_groups for p in group["params"]]


def _allocate_states(ctx: WorkerContext, parts: Parts, found: _Found) -> None:
    """The optimizer's own step, with gradients and rate of zero: no weight changes by a bit."""
    check(ctx)
    before = _held(parts)
    found.weights_bytes = min(before, model_bytes(parts.model))
    for group in parts.optimizer.param_groups:
        group["lr"] = 0.0
    for parameter in _trained(parts):
        parameter.grad = torch.zeros_like(parameter)
    parts.optimizer.step()
    for parameter in _trained(parts):
        parameter.grad = None
    found.base_bytes = _held(parts)
    found.optimizer_bytes = max(0, found.base_bytes - before)


def _pass_twice(ctx: WorkerContext, parts: Parts, heaviest: Heaviest, found: _Found) -> None:
    """Forward and backward; the second time kernels are compiled, and gradients are there as they
    are during accumulation. Several processes must make the same number of passes.
    """
    for attempt in range(2):
        check(ctx)
        seconds = _one_pass(ctx, parts, heaviest, found)
        found.pass_s = seconds
        if attempt == 0 and ctx.team.share(seconds) > LONGEST_PASS_S:
            return


def _one_pass(ctx: WorkerContext, parts: Parts, heaviest: Heaviest, found: _Found) -> float:
    window = _window_of(heaviest, ctx.team.data_size)
    cuda = parts.place.device == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    with Sampler(own_card(parts.place.device), gpu_backend()) as sampler:
        begun = time.monotonic()
        nll = parts.stepper.accumulate(window)
        finite = nll is not None and math.isfinite(nll.item())
        if cuda:
            torch.cuda.synchronize()
        seconds = time.monotonic() - begun
    found.finite = found.finite and finite and _gradients_are_finite(parts)
    found.power_w = sampler.mean_power_w
    peak = torch.cuda.max_memory_allocated() if cuda else sampler.peak_bytes
    found.peak_bytes = max(found.peak_bytes, peak)
    return seconds


def _window_of(heaviest: Heaviest, processes: int) -> Window:
    """One such micro-batch for each process."""
    batch = heaviest.batch
    targets = int((batch.targets >= 0).sum()) * processes
    return Window((batch,) * processes, max(1, targets), batch.tokens * processes)


def _gradients_are_finite(parts: Parts) -> bool:
    # A loss scaler begins so high that its first gradients overflow: that is its way to search.
    if parts.scaler is not None:
        return True
    gradients = [p.grad for p in _trained(parts) if p.grad is not None]
    if not gradients:
        return True
    norms = torch._foreach_norm(gradients)
    return bool(torch.isfinite(torch.stack([_local(n).float().cpu() for n in norms])).all())


def _local(tensor: Any) -> torch.Tensor:
    """Of a tensor that is spread over processes, this process's part."""
    part: torch.Tensor = tensor.to_local() if hasattr(tensor, "to_local") else tensor
    return part


def _try_saving(run: RunDir, parts: Parts, found: _Found) -> None:
    """Write a checkpoint beside the real ones, read it back, remove it."""
    try:
        contents = checkpoint.collect(parts.model, parts.optimizer, parts.state, copy=False)
        found.checkpoint_bytes = contents.size_bytes
        _look_for_room(run, parts, found)
        if contents.size_bytes <= LARGEST_SAVE_BYTES:
            found.checkpoint_bytes = _save_and_read(run, parts, contents)
    except (AppError, OSError) as e:
        log.exception("the checkpoint of the dry run failed")
        found.problems.append(Finding(code=SAVE_FAILED, params={"detail": str(e)}))


def _save_and_read(run: RunDir, parts: Parts, contents: checkpoint.Contents) -> int:
    """Bytes on disk.

    Raises:
        AppError: what a real save would meet.
    """
    aside = RunDir(run.path / ".dry-run")
    try:
        folder = checkpoint.write(aside, parts.model, contents)
        back = checkpoint.read(folder)
        _check_same(contents, back)
        return checkpoint_files.folder_bytes(folder)
    finally:
        shutil.rmtree(aside.path, ignore_errors=True)


def _check_same(written: checkpoint.Contents, back: checkpoint.Contents) -> None:
    for kind in ("adapter", "optimizer"):
        ours, theirs = getattr(written, kind), getattr(back, kind)
        if ours.keys() != theirs.keys():
            raise OSError(f"the {kind} read back has other tensors than the one written")
        for name, tensor in ours.items():
            if not torch.equal(tensor.cpu(), theirs[name]):
                raise OSError(f"{name} read back is not what was written")


def _look_for_room(run: RunDir, parts: Parts, found: _Found) -> None:
    """For all checkpoints that will lie there together, the best one and the one being written."""
    spec = parts.spec
    together = spec.save_total_limit + 1 + int(spec.keep_best)
    needed = found.checkpoint_bytes * together
    free = atomic_io.free_bytes(run.path)
    if free < needed:
        facts = {
            "needed_gib": round(needed / GIB, 2),
            "free_gib": round(free / GIB, 2),
            "checkpoints": together,
        }
        found.problems.append(Finding(code=DISK_SMALL, params=facts))


def _summary(parts: Parts, heaviest: Heaviest, found: _Found) -> DryRunDone:
    step_s = found.pass_s * heaviest.places_per_step / max(1, heaviest.places)
    step_s /= parts.spec.parallel.data_ranks
    total_s = step_s * parts.extent.total_steps
    limit = parts.meter.limit_gib
    return DryRunDone(
        longest_tokens=heaviest.longest_tokens,
        rows=heaviest.rows,
        peak_memory_gib=found.peak_bytes / GIB,
        memory_limit_gib=limit,
        step_time_s=step_s,
        total_time_s=total_s,
        checkpoint_bytes=found.checkpoint_bytes,
        finite=found.finite,
        energy_kwh=None if found.power_w is None else found.power_w * total_s / 3.6e6,
        memory_parts_gib=_parts(found),
        problems=[*found.problems, *_doubts(found, limit, heaviest)],
    )


def _parts(found: _Found) -> dict[str, float]:
    activations = max(0, found.peak_bytes - found.base_bytes)
    known = found.weights_bytes + found.optimizer_bytes + activations
    other = max(0, found.peak_bytes - known)
    parts = {
        "weights": found.weights_bytes,
        "optimizer": found.optimizer_bytes,
        "activations": activations,
        "other": other,
    }
    return {name: size / GIB for name, size in parts.items()}


def _doubts(found: _Found, limit_gib: float, heaviest: Heaviest) -> list[Finding]:
    doubts = []
    if not found.finite:
        doubts.append(Finding(code=NOT_FINITE, params={"sample": heaviest.sample}))
    if found.peak_bytes / GIB > limit_gib * TIGHT:
        facts = {"peak_gib": round(found.peak_bytes / GIB, 2), "limit_gib": round(limit_gib, 2)}
        doubts.append(Finding(code=MEMORY_TIGHT, params=facts))
    return doubts


def _learn(parts: Parts, outlook: Outlook, found: _Found) -> None:
    """A card's peak corrects the next forecast; a process's has too much else in it."""
    if parts.place.device != "cuda" or outlook.shape is None:
        return
    plain = Outlook(outlook.shape, outlook.spec, outlook.situation.corrected(1.0))
    assert plain.forecast is not None
    card = card_name(parts.place)
    calibration().learn(card, method_of(parts.spec), plain.forecast, found.peak_bytes / GIB)


def _held(parts: Parts) -> int:
    if parts.place.device == "cuda":
        return torch.cuda.memory_allocated()
    return int(parts.meter.read_gib()[0] * GIB)
