"""What to do when memory runs out, step by step, each with what it saves and what it costs.

Every rung leaves the samples and tokens of an optimizer step what they were: the run goes on from
its cursor as if nothing had happened, only slower. Rungs that would change the data
(`packing_length`) or need a person (`more_gpus`) are named, but never taken by the run itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from core.config.combinations import check_combination, setup_of
from core.config.presets import merge
from core.config.train import TrainSpec
from core.errors import UsageError
from core.planning.memory import Situation, estimate, kernels_of
from core.planning.shapes import ModelShape
from core.protocol.events import LadderRung

SMALLEST_GAIN_GIB = 0.01
"""What saves less is taken only when nothing else is left."""
SHORTEST_ROW_TOKENS = 256

BY_HAND = frozenset({"packing_length", "more_gpus"})
"""Rungs that a run does not take by itself."""

_SLOWER = {
    "chunked_loss": 1.02, "selective_checkpointing": 1.15, "gradient_checkpointing": 1.3,
    "smaller_micro_batch": 1.08, "packing_length": 1.1, "bf16_adapters": 1.0,
    "activation_offload": 1.25, "optimizer_8bit": 1.02, "optimizer_offload": 1.15,
    "load_in_4bit": 1.3, "more_gpus": 1.05,
}  # fmt: skip
"""Step time over today's; from docs/benchmarks.md where it was measured, else cautious."""


@dataclass(frozen=True)
class Circumstances:
    """What a ladder is made for."""

    shape: ModelShape | None
    spec: TrainSpec
    situation: Situation
    has_bitsandbytes: bool = True
    cards: int = 1
    """In this machine."""


def ladder(facts: Circumstances) -> tuple[LadderRung, ...]:
    """All measures that are left, in the order in which they should be tried."""
    return tuple(
        _weighed(facts, code, changes)
        for code, changes in _candidates(facts)
        if _allowed(facts, code, changes)
    )


def climb(facts: Circumstances, missing_gib: float = 0.0) -> tuple[LadderRung, ...]:
    """What a run should do by itself now: the gentlest rungs that save `missing_gib` together.

    One rung when nothing is known to be missing, or nothing can be weighed; none at the end.
    """
    taken: list[LadderRung] = []
    while (rung := _next(ladder(facts))) is not None:
        taken.append(rung)
        facts = taken_from(facts, rung.changes)
        if facts.shape is None or sum(r.saves_gib for r in taken) >= missing_gib:
            break
    return tuple(taken)


def taken_from(facts: Circumstances, changes: dict[str, Any]) -> Circumstances:
    """The circumstances after some changes: the ladder that is left then."""
    changed = apply(facts.spec, changes)
    situation = _situation_of(facts.situation, facts.spec, changed)
    return replace(facts, spec=changed, situation=situation)


def changes_of(rungs: tuple[LadderRung, ...]) -> dict[str, Any]:
    """All changes as one; later rungs win."""
    found: dict[str, Any] = {}
    for rung in rungs:
        found = merge(found, rung.changes)
    return found


def _next(rungs: tuple[LadderRung, ...]) -> LadderRung | None:
    usable = [r for r in rungs if r.code not in BY_HAND and r.changes]
    saving = (r for r in usable if r.saves_gib > SMALLEST_GAIN_GIB)
    return next(saving, None) or next(iter(usable), None)


def apply(spec: TrainSpec, changes: dict[str, Any]) -> TrainSpec:
    """The spec with the changes of a rung.

    Raises:
        UsageError: `input.bad_value`.
    """
    return TrainSpec.parse(merge(spec.model_dump(mode="json"), changes))


def smaller_micro_batch(spec: TrainSpec) -> dict[str, Any]:
    """At most half as many samples at once, and as many micro-steps as give the same window.

    Empty when a micro-batch is one sample already.
    """
    rows, steps = spec.per_device_train_batch_size, spec.gradient_accumulation_steps
    own = rows * steps
    fewer = next((n for n in range(rows // 2, 0, -1) if own % n == 0), None)
    if fewer is None or own // fewer > 4096:
        return {}
    return {"per_device_train_batch_size": fewer, "gradient_accumulation_steps": own // fewer}


def _candidates(facts: Circumstances) -> Iterator[tuple[str, dict[str, Any]]]:
    """(code, changes), in order; without asking whether they are allowed."""
    spec = facts.spec
    if not spec.chunked_loss:
        yield "chunked_loss", {"chunked_loss": True}
    if spec.gradient_checkpointing == "off":
        changes = {"gradient_checkpointing": "selective"}
        yield "selective_checkpointing", changes
    if spec.gradient_checkpointing != "full":
        yield "gradient_checkpointing", {"gradient_checkpointing": "full"}
    if fewer := smaller_micro_batch(spec):
        yield "smaller_micro_batch", fewer
    if shorter := _shorter_rows(spec):
        yield "packing_length", shorter
    if spec.method == "lora" and spec.lora.dtype == "fp32" and facts.situation.dtype == "bf16":
        yield "bf16_adapters", {"lora": {"dtype": "bf16"}}
    if facts.situation.device == "cuda":
        yield from _candidates_of_a_card(facts)


def _candidates_of_a_card(facts: Circumstances) -> Iterator[tuple[str, dict[str, Any]]]:
    spec = facts.spec
    if not spec.activation_offload:
        changes = {"activation_offload": True, "gradient_checkpointing": "full"}
        yield "activation_offload", changes
    plain = spec.optim.startswith("adamw_torch")
    if plain and not spec.optimizer_offload:
        if facts.has_bitsandbytes:
            yield "optimizer_8bit", {"optim": "adamw_8bit"}
        yield "optimizer_offload", {"optimizer_offload": True}
    quantized = spec.load_in_4bit or spec.load_in_8bit
    if spec.method == "lora" and facts.has_bitsandbytes and not quantized:
        yield "load_in_4bit", {"load_in_4bit": True}
    if more := _more_gpus(facts):
        yield "more_gpus", more


def _shorter_rows(spec: TrainSpec) -> dict[str, Any]:
    """Packed rows of half the length, twice as many: samples that are longer would be cut."""
    if not spec.packing or spec.seq_len // 2 < SHORTEST_ROW_TOKENS:
        return {}
    steps = spec.gradient_accumulation_steps * 2
    return {"seq_len": spec.seq_len // 2, "gradient_accumulation_steps": steps}


def _more_gpus(facts: Circumstances) -> dict[str, Any]:
    """Weights sharded over all cards of the machine, the window as before."""
    spec, cards = facts.spec, facts.cards
    rows = spec.per_device_train_batch_size * spec.gradient_accumulation_steps
    if cards <= spec.parallel.world_size or spec.parallel.world_size > 1 or rows % cards:
        return {}
    own = rows // cards
    size = next(n for n in range(spec.per_device_train_batch_size, 0, -1) if own % n == 0)
    return {
        "device": "auto",
        "parallel": {"strategy": "fsdp2", "nproc_per_node": cards},
        "per_device_train_batch_size": size,
        "gradient_accumulation_steps": own // size,
    }


def _allowed(facts: Circumstances, code: str, changes: dict[str, Any]) -> bool:
    try:
        changed = apply(facts.spec, changes)
    except UsageError:
        return False
    routed = bool(facts.shape and facts.shape.experts)
    before = {r.code for r in check_combination(setup_of(facts.spec, routed_experts=routed))}
    after = check_combination(setup_of(changed, routed_experts=routed))
    new = [r for r in after if r.code not in before]
    return not new and (code in BY_HAND or changed.window_samples == facts.spec.window_samples)


def _weighed(facts: Circumstances, code: str, changes: dict[str, Any]) -> LadderRung:
    return LadderRung(
        code=code,
        changes=changes,
        saves_gib=round(_saves_gib(facts, changes), 3),
        slower=_slower(facts, code, changes),
    )


def _saves_gib(facts: Circumstances, changes: dict[str, Any]) -> float:
    """By the planner; 0 when the model's sizes are not known."""
    if facts.shape is None:
        return 0.0
    changed = apply(facts.spec, changes)
    then = _situation_of(facts.situation, facts.spec, changed)
    before = estimate(facts.shape, facts.spec, facts.situation)
    return before.total_gib - estimate(facts.shape, changed, then).total_gib


def _situation_of(now: Situation, spec: TrainSpec, changed: TrainSpec) -> Situation:
    """The largest micro-batch after a change: fewer rows, or shorter ones."""
    rows = now.rows or spec.per_device_train_batch_size
    share = changed.per_device_train_batch_size / spec.per_device_train_batch_size
    longest = min(now.tokens_longest, changed.seq_len)
    return replace(now, rows=max(1, round(rows * share)), tokens_longest=longest)


def _slower(facts: Circumstances, code: str, changes: dict[str, Any]) -> float:
    factor = _SLOWER[code]
    if facts.shape is None or not changes:
        return factor
    changed = apply(facts.spec, changes)
    before = kernels_of(facts.shape, facts.spec, facts.situation)
    after = kernels_of(facts.shape, changed, facts.situation)
    return factor * (1.3 if before == "fast" and after != "fast" else 1.0)
