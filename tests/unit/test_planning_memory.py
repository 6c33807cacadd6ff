"""Memory forecasts against what was measured, and against common sense."""

from __future__ import annotations

from typing import Any

import pytest

from core.config.train import TrainSpec
from core.planning import MemoryForecast, Room, Situation, estimate, judge, shape_of
from core.planning.activations import Style, full_bytes, kept_bytes
from core.planning.memory import PARTS
from tests.unit.test_planning_shapes import DEEPSEEK_7B, DEEPSEEK_67B, MODELS, V2_LITE, V3

ALL_LINEAR = {"target_modules": ["all-linear"]}
PLAIN = {"fast_kernels": False, "chunked_loss": False}


def spec_of(**values: Any) -> TrainSpec:
    return TrainSpec.parse({"model": "m", "data": "d", **values})


def forecast(
    config: dict[str, Any] = DEEPSEEK_7B,
    tokens: int = 2048,
    device: Any = "cuda",
    dtype: Any = "bf16",
    **values: Any,
) -> MemoryForecast:
    shape = shape_of(config)
    assert shape is not None
    return estimate(shape, spec_of(**values), Situation(tokens, device=device, dtype=dtype))


@pytest.mark.parametrize(
    ("targets", "style", "bytes_over_width"),
    [
        ((), Style(full=True, autocast=False), 45.6),
        (("q_proj", "v_proj"), Style(autocast=False), 40.2),
        (("all-linear",), Style(autocast=False), 66.9),
        (("q_proj", "v_proj"), Style(autocast=False, adapter_bytes=2), 34.2),
        (("all-linear",), Style(autocast=False, adapter_bytes=2), 41.6),
    ],
)
def test_a_layer_keeps_what_was_counted_in_the_real_code(
    targets: tuple[str, ...], style: Style, bytes_over_width: float
) -> None:
    shape = shape_of(DEEPSEEK_7B)
    assert shape is not None
    kept = kept_bytes(shape, shape.targets(targets), style) / shape.hidden
    assert kept == pytest.approx(bytes_over_width, rel=0.005)
    assert full_bytes(shape, style) / shape.hidden == pytest.approx(2.05, rel=0.03)


@pytest.mark.parametrize(
    ("measured_gib", "tokens", "values"),
    [
        (56.5, 2048, {"per_device_train_batch_size": 4, **PLAIN}),
        (35.8, 2048,
         {"per_device_train_batch_size": 8, "gradient_checkpointing": "full", **PLAIN}),
        (69.3, 4096, {"per_device_train_batch_size": 2, "lora": ALL_LINEAR, **PLAIN}),
        (51.9, 4096, {"per_device_train_batch_size": 2, "lora": ALL_LINEAR,
                      "fast_kernels": False, "use_liger_kernel": True}),
        (43.7, 4096, {"per_device_train_batch_size": 2, "lora": {**ALL_LINEAR, "dtype": "bf16"},
                      "fast_kernels": False, "use_liger_kernel": True}),
    ],
)  # fmt: skip
def test_the_forecast_meets_the_measured_peak_of_a_7b_model_on_an_h200(
    measured_gib: float, tokens: int, values: dict[str, Any]
) -> None:
    assert forecast(tokens=tokens, **values).allocated_gib == pytest.approx(measured_gib, rel=0.05)


@pytest.mark.parametrize(
    ("name", "gib", "values"),
    [("7b", 12.9, {}), ("67b", 125.5, {}), ("v2-lite", 29.2, {}), ("v3", 1250, {}),
     ("7b", 4.5, {"load_in_4bit": True}),
     ("v2-lite", 28.0, {"load_in_4bit": True})],
)  # fmt: skip
def test_weights_are_what_a_checkpoint_weighs(
    name: str, gib: float, values: dict[str, Any]
) -> None:
    parts = forecast(MODELS[name], **values).parts_gib
    assert parts["weights"] == pytest.approx(gib, rel=0.01)


def test_routed_experts_stay_16_bit_when_the_rest_is_quantized() -> None:
    saved = forecast(V2_LITE).total_gib - forecast(V2_LITE, load_in_4bit=True).total_gib
    assert saved < 0.05 * forecast(V2_LITE).total_gib
    dense = forecast().total_gib - forecast(load_in_4bit=True).total_gib
    assert dense > 0.3 * forecast().parts_gib["weights"]


@pytest.mark.parametrize(
    "change",
    [
        {"gradient_checkpointing": "selective"},
        {"gradient_checkpointing": "full"},
        {"per_device_train_batch_size": 1},
        {"load_in_4bit": True},
        {"lora": {**ALL_LINEAR, "r": 256, "dtype": "bf16"}},
        {"optim": "adamw_8bit"},
        {"optim": "paged_adamw_32bit"},
        {"optimizer_offload": True},
        {"chunked_loss": True},
    ],
)
@pytest.mark.parametrize("fast", [True, False])
def test_every_measure_saves_memory(change: dict[str, Any], fast: bool) -> None:
    before = {"lora": {**ALL_LINEAR, "r": 256}, "fast_kernels": fast, "chunked_loss": False}
    assert forecast(**{**before, **change}).total_gib < forecast(**before).total_gib


def test_8_bit_weights_cost_the_fast_kernels_and_so_may_save_nothing() -> None:
    plain = forecast(fast_kernels=False)
    assert forecast(fast_kernels=False, load_in_8bit=True).total_gib < plain.total_gib - 5
    assert forecast(load_in_8bit=True).total_gib > forecast().total_gib


def test_recomputing_more_keeps_less() -> None:
    off, selective, full = (
        forecast(gradient_checkpointing=mode, tokens=4096).total_gib
        for mode in ("off", "selective", "full")
    )
    assert off > selective > full


def test_what_leaves_the_card_arrives_in_the_computer() -> None:
    here = forecast(method="full")
    moved = forecast(method="full", optimizer_offload=True)
    assert moved.host_gib == pytest.approx(here.parts_gib["optimizer"])
    assert moved.parts_gib["optimizer"] == 0
    kept = forecast(gradient_checkpointing="full", activation_offload=True)
    assert kept.host_gib > 1


def test_sharding_follows_the_number_of_cards() -> None:
    """States of a full fine-tuning shrink as 1/N, activations do not."""

    def states(n: int) -> float:
        parallel = {"strategy": "fsdp2", "nproc_per_node": n} if n > 1 else {}
        parts = forecast(DEEPSEEK_67B, method="full", parallel=parallel).parts_gib
        return parts["optimizer"]

    assert states(8) == pytest.approx(states(1) / 8)
    whole = forecast(parallel={"strategy": "ddp", "nproc_per_node": 4})
    assert whole.parts_gib["weights"] == pytest.approx(forecast().parts_gib["weights"])


def test_only_computed_logits_count() -> None:
    shape = shape_of(DEEPSEEK_7B)
    assert shape is not None
    spec = spec_of(chunked_loss=False)
    whole = estimate(shape, spec, Situation(2048)).total_gib
    half = estimate(shape, spec, Situation(2048, target_share=0.5)).total_gib
    assert half < whole - 3


@pytest.mark.parametrize("name", list(MODELS))
@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_parts_are_named_finite_and_add_up(name: str, device: str) -> None:
    found = forecast(MODELS[name], device=device, dtype="fp32" if device == "cpu" else "bf16")
    assert tuple(found.parts_gib) == PARTS
    assert all(0 <= part < 1e5 for part in found.parts_gib.values())
    assert found.total_gib == pytest.approx(sum(found.parts_gib.values()))
    assert found.allocated_gib < found.total_gib
    assert found.largest in PARTS


def test_the_largest_part_is_the_one_to_attack() -> None:
    assert forecast(V3).largest == "weights"
    long = forecast(tokens=16384, per_device_train_batch_size=2)
    assert long.largest == "activations"
    words = forecast(tokens=8192, gradient_checkpointing="full", **PLAIN)
    assert words.largest == "logits"


def test_a_verdict_tells_fit_tight_and_too_much() -> None:
    needed = forecast()
    gib = needed.total_gib
    assert judge(needed, Room(gib * 2, gib * 1.5)).fit == "fits"
    assert judge(needed, Room(gib * 2, gib * 1.01)).fit == "tight"
    over = judge(needed, Room(gib * 2, gib * 0.5))
    assert over.fit == "does_not_fit"
    assert over.missing_gib == pytest.approx(gib * 0.5)
    assert over.would_fit_alone
    assert not judge(needed, Room(gib * 0.9, gib * 0.5)).would_fit_alone


@pytest.mark.parametrize(
    ("values", "rows", "measured_gib"),
    [
        ({"lora": {"r": 16, "target_modules": ["q_proj", "v_proj"]}}, 8, 17.84),
        ({"lora": {"r": 16, "target_modules": ["all-linear"]}, "load_in_4bit": True}, 4, 7.87),
    ],
    ids=["LoRA q,v, 8 rows", "QLoRA all linear, 4 rows"],
)
def test_fast_layers_that_are_recomputed_need_what_a_card_was_seen_to_need(
    values: dict[str, object], rows: int, measured_gib: float
) -> None:
    """DeepSeek-LLM 7B, rows of 2,048, full checkpointing, one H200 (docs/benchmarks.md)."""
    spec = TrainSpec.model_validate(
        {
            "model": "m", "data": "d", "seq_len": 2048, "per_device_train_batch_size": rows,
            "gradient_accumulation_steps": 1, "gradient_checkpointing": "full", **values,
        }
    )  # fmt: skip
    shape = shape_of(DEEPSEEK_7B)
    assert shape is not None
    found = estimate(shape, spec, Situation(tokens_longest=2048, compute_capability=(9, 0)))
    assert found.allocated_gib == pytest.approx(measured_gib, rel=0.05)


@pytest.mark.parametrize(
    ("tokens", "values", "measured_gib"),
    [
        (1024, {}, 13.81), (4096, {}, 14.81), (16_384, {}, 18.75),
        (1024, {"load_in_4bit": True}, 5.42), (4096, {"load_in_4bit": True}, 6.46),
        (16_384, {"load_in_4bit": True}, 10.42),
    ],
)  # fmt: skip
def test_a_long_recomputed_row_is_worked_through_in_pieces(
    tokens: int, values: dict[str, Any], measured_gib: float
) -> None:
    """The rows of docs/benchmarks.md: rank 16 on all linear layers, one row, chunked loss."""
    lora = {"r": 16, **ALL_LINEAR}
    found = forecast(
        tokens=tokens, lora=lora, gradient_checkpointing="full", per_device_train_batch_size=1,
        gradient_accumulation_steps=1, **values,
    )  # fmt: skip
    assert found.allocated_gib == pytest.approx(measured_gib, rel=0.02)


def test_a_flat_row_is_recomputed_whole_up_to_its_mlp() -> None:
    """Rows behind each other in one cannot be taken a few at a time: attention spans them."""
    shape = shape_of(DEEPSEEK_7B)
    assert shape is not None
    spec = spec_of(
        gradient_checkpointing="full", per_device_train_batch_size=8, lora=ALL_LINEAR,
    )  # fmt: skip
    rows = estimate(shape, spec, Situation(2048)).allocated_gib
    flat = estimate(shape, spec, Situation(2048, flat=True)).allocated_gib
    one = estimate(shape, spec, Situation(16_384, rows=1)).allocated_gib
    assert rows < flat == pytest.approx(one)
    few = spec_of(**{**spec.model_dump(mode="json"), "per_device_train_batch_size": 4})
    flat = estimate(shape, few, Situation(2048, flat=True)).allocated_gib
    assert flat == pytest.approx(estimate(shape, few, Situation(2048)).allocated_gib)
