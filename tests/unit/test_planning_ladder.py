"""The ladder against running out of memory: its order, what it leaves alone, what it saves."""

from __future__ import annotations

from typing import Any

import pytest

from core.config.combinations import check_combination, setup_of
from core.config.identity import learning_identity
from core.config.train import TrainSpec
from core.planning import Situation, shape_of
from core.planning.ladder import (
    BY_HAND,
    Circumstances,
    apply,
    changes_of,
    climb,
    ladder,
    smaller_micro_batch,
    taken_from,
)
from tests.unit.test_planning_shapes import DEEPSEEK_7B, V2_LITE

GREEDY = {
    "per_device_train_batch_size": 4, "gradient_accumulation_steps": 4, "chunked_loss": False,
    "fast_kernels": False, "lora": {"target_modules": ["all-linear"]},
}  # fmt: skip


def spec_of(**values: Any) -> TrainSpec:
    return TrainSpec.parse({"model": "m", "data": "d", **values})


def facts_of(
    config: dict[str, Any] | None = DEEPSEEK_7B, device: Any = "cuda", **values: Any
) -> Circumstances:
    shape = shape_of(config) if config else None
    dtype: Any = "bf16" if device == "cuda" else "fp32"
    situation = Situation(2048, device=device, dtype=dtype)
    return Circumstances(shape, spec_of(**values), situation)


def codes(facts: Circumstances) -> list[str]:
    return [rung.code for rung in ladder(facts)]


def test_the_gentle_measures_come_first() -> None:
    assert codes(facts_of(**GREEDY)) == [
        "chunked_loss", "selective_checkpointing", "gradient_checkpointing", "smaller_micro_batch",
        "bf16_adapters", "activation_offload", "optimizer_8bit", "optimizer_offload",
        "load_in_4bit",
    ]  # fmt: skip


def test_what_is_on_already_is_not_offered() -> None:
    spec = {
        "per_device_train_batch_size": 1, "gradient_checkpointing": "full", "load_in_4bit": True,
        "activation_offload": True, "optim": "adamw_8bit", "lora": {"dtype": "bf16"},
    }  # fmt: skip
    assert codes(facts_of(**spec)) == []


def test_a_full_fine_tuning_is_never_told_to_load_in_4_bit_or_change_adapters() -> None:
    found = codes(facts_of(method="full", chunked_loss=False))
    assert {"load_in_4bit", "bf16_adapters"}.isdisjoint(found)
    assert "optimizer_8bit" in found


def test_without_a_card_only_what_helps_a_computer_is_offered() -> None:
    assert codes(facts_of(device="cpu", **GREEDY)) == [
        "chunked_loss", "selective_checkpointing", "gradient_checkpointing", "smaller_micro_batch"
    ]  # fmt: skip


@pytest.mark.parametrize("strategy", ["fsdp2", "tp", "ddp"])
def test_no_rung_leads_into_a_combination_that_is_refused(strategy: str) -> None:
    parallel = {"strategy": strategy, "nproc_per_node": 2}
    facts = facts_of(parallel=parallel, **GREEDY)
    assert not check_combination(setup_of(facts.spec))
    for rung in ladder(facts):
        assert not check_combination(setup_of(apply(facts.spec, rung.changes))), rung


@pytest.mark.parametrize("config", [DEEPSEEK_7B, V2_LITE])
def test_every_rung_saves_and_leaves_the_learning_alone(config: dict[str, Any]) -> None:
    facts = facts_of(config, **GREEDY)
    identity = learning_identity(facts.spec)
    for rung in ladder(facts):
        assert rung.saves_gib > 0, rung
        assert rung.slower >= 1, rung
        if rung.code not in BY_HAND:
            assert learning_identity(apply(facts.spec, rung.changes)) == identity, rung


def test_climbing_to_the_end_ends_and_saves_all_the_way() -> None:
    first = facts = facts_of(**GREEDY)
    taken: list[str] = []
    while rungs := climb(facts):
        (rung,) = rungs
        taken.append(rung.code)
        facts = taken_from(facts, rung.changes)
        assert facts.spec.window_samples == first.spec.window_samples
        assert len(taken) < 20
    assert taken.count("smaller_micro_batch") == 2
    assert taken[-1] == "load_in_4bit"


def test_as_many_rungs_are_taken_at_once_as_are_needed() -> None:
    facts = facts_of(**GREEDY)
    chunked, selective = ladder(facts)[:2]
    assert climb(facts, chunked.saves_gib * 0.9) == (chunked,)
    two = climb(facts, chunked.saves_gib * 1.1)
    assert [r.code for r in two] == [chunked.code, selective.code]
    assert changes_of(two) == {"chunked_loss": True, "gradient_checkpointing": "selective"}
    everything = climb(facts, 1e6)
    spec = apply(facts.spec, changes_of(everything))
    assert spec.load_in_4bit
    assert spec.per_device_train_batch_size == 1
    assert spec.window_samples == facts.spec.window_samples


def test_the_largest_micro_batch_comes_down_to_one_row_before_a_run_gives_up() -> None:
    pytest.importorskip("torch")
    from workers.train.memory_ladder import MOST_TRIES

    facts = facts_of(**{**GREEDY, "per_device_train_batch_size": 4096,
                        "gradient_accumulation_steps": 1})  # fmt: skip
    tries = 0
    while rungs := climb(facts):
        facts = taken_from(facts, changes_of(rungs))
        tries += 1
    assert facts.spec.per_device_train_batch_size == 1
    assert tries < MOST_TRIES


@pytest.mark.parametrize(
    ("rows", "steps", "expected"),
    [(4, 4, (2, 8)), (1, 16, None), (3, 4, (1, 12)), (5, 1, (1, 5)), (12, 1, (6, 2)),
     (6, 3, (3, 6)), (7, 2, (2, 7))],
)  # fmt: skip
def test_a_smaller_micro_batch_keeps_the_window(
    rows: int, steps: int, expected: tuple[int, int] | None
) -> None:
    spec = spec_of(per_device_train_batch_size=rows, gradient_accumulation_steps=steps)
    changes = smaller_micro_batch(spec)
    if expected is None:
        assert changes == {}
        return
    assert tuple(changes.values()) == expected
    assert apply(spec, changes).window_samples == spec.window_samples


def test_shorter_packed_rows_are_offered_to_a_person_only() -> None:
    rungs = ladder(facts_of(packing=True, seq_len=4096))
    (shorter,) = [r for r in rungs if r.code == "packing_length"]
    assert shorter.changes == {"seq_len": 2048, "gradient_accumulation_steps": 8}
    facts = facts_of(packing=True, seq_len=4096)
    assert "packing_length" not in {r.code for r in climb(facts, 1e6)}


def test_other_cards_of_the_machine_are_named() -> None:
    facts = facts_of(**GREEDY)
    several = Circumstances(facts.shape, facts.spec, facts.situation, cards=4)
    rung = ladder(several)[-1]
    assert rung.code == "more_gpus"
    changed = apply(facts.spec, rung.changes)
    assert changed.parallel.world_size == 4
    assert changed.window_samples == facts.spec.window_samples


def test_an_unknown_model_still_gets_its_ladder() -> None:
    rungs = ladder(facts_of(None, **GREEDY))
    assert rungs[0].code == "chunked_loss"
    assert {r.saves_gib for r in rungs} == {0.0}
    assert climb(facts_of(None, **GREEDY), 5.0) == rungs[:1]
