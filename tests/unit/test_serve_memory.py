"""What a server needs on a card, and how many tokens its cache holds there."""

from __future__ import annotations

import pytest

from core.config.serve import ServeSpec
from core.hardware import GpuSample
from core.planning import shape_of
from core.planning.gguf_shape import shape_of_gguf
from core.planning.serve_memory import (
    ServeLoad,
    cache_bytes_a_token,
    forecast_server,
    weight_bytes,
)
from core.planning.shapes import ModelShape
from core.services import serve_forecast
from core.services.serve_forecast import ServeSource, chosen_precision, plan_server, room_for
from tests.unit.test_planning_shapes import DEEPSEEK_7B, R1_QWEN_7B, V2_LITE, V3

GIB = 1024**3


def shape(config: dict[str, object]) -> ModelShape:
    found = shape_of(config)
    assert found is not None
    return found


def card(total: float, used: float = 0.5, cc: tuple[int, int] = (8, 9)) -> GpuSample:
    return GpuSample(0, "card", memory_used_gib=used, memory_total_gib=total, compute_capability=cc)


@pytest.fixture(autouse=True)
def torch_with_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve_forecast, "torch_has_cuda", lambda: True)


@pytest.mark.parametrize(
    ("config", "kib"), [(DEEPSEEK_7B, 480), (R1_QWEN_7B, 56), (V2_LITE, 30.375), (V3, 68.625)]
)
def test_a_token_keeps_what_its_attention_keeps(config: dict[str, object], kib: float) -> None:
    assert cache_bytes_a_token(shape(config), "bf16") == kib * 1024


def test_weights_of_a_7b_model_match_what_a_card_measured() -> None:
    # Measured on one H200 after loading: 12.9, 7.4 and 4.9 GiB.
    found = {p: weight_bytes(shape(DEEPSEEK_7B), p) / GIB for p in ("bf16", "8bit", "4bit")}
    assert found == pytest.approx({"bf16": 12.9, "8bit": 7.4, "4bit": 4.9}, abs=0.4)


def test_matrices_that_latent_attention_absorbs_stay_in_16_bits() -> None:
    lite = shape(V2_LITE)
    widened = 27 * 512 * 16 * (128 + 128)
    small = lite.linear_weights - widened
    assert weight_bytes(lite, "4bit") == 2 * (lite.parameters - small) + int(small * 0.5625)
    assert weight_bytes(lite, "bf16") == 2 * lite.parameters


def test_a_cache_is_what_the_budget_leaves() -> None:
    load = ServeLoad("bf16", context_tokens=4096, batch=8)
    found = forecast_server(shape(DEEPSEEK_7B), load, budget_gib=20.0)
    assert found.fixed_gib + found.cache_tokens * found.bytes_a_token / GIB <= 20.0
    assert found.fit == "shared"
    assert found.full_chats == found.cache_tokens // 4096
    assert found.parts_gib["cache"] == pytest.approx(20.0 - found.fixed_gib, abs=0.01)


def test_a_large_card_holds_all_chats_at_full_length() -> None:
    load = ServeLoad("bf16", context_tokens=4096, batch=8)
    found = forecast_server(shape(DEEPSEEK_7B), load, budget_gib=60.0)
    assert found.fit == "roomy"
    assert found.total_gib < 60.0


def test_a_budget_below_the_weights_fits_nothing() -> None:
    found = forecast_server(shape(DEEPSEEK_7B), ServeLoad("bf16"), budget_gib=8.0)
    assert found.fit == "does_not_fit"
    assert found.cache_tokens == 0


@pytest.mark.parametrize(
    ("total_gib", "cc", "wanted"),
    [(24.0, (8, 9), "bf16"), (24.0, (7, 5), "fp16"), (12.0, (8, 9), "4bit")],
)
def test_auto_takes_16_bits_where_they_leave_room_for_a_cache(
    total_gib: float, cc: tuple[int, int], wanted: str
) -> None:
    spec = ServeSpec(model="m")
    room = room_for(spec, [card(total_gib, cc=cc)])
    assert chosen_precision(spec, shape(DEEPSEEK_7B), room) == wanted


def test_what_others_hold_is_taken_off_the_budget_and_what_they_give_free_is_not() -> None:
    spec = ServeSpec(model="m")
    assert room_for(spec, [card(24.0, used=10.0)]).budget_gib == pytest.approx(24 * 0.85 - 10)
    freed = room_for(spec, [card(24.0, used=10.0)], freed_gib=9.0)
    assert freed.budget_gib == pytest.approx(24 * 0.85 - 1)


def test_a_computer_without_a_card_serves_in_its_own_memory_in_fp32() -> None:
    plan = plan_server(ServeSpec(model="m"), shape(R1_QWEN_7B), [])
    assert plan.room.device == "cpu"
    assert plan.precision == "fp32"


LLAMA_GGUF = {
    "general.architecture": "llama", "llama.embedding_length": 576, "llama.block_count": 30,
    "llama.feed_forward_length": 1536, "llama.attention.head_count": 9,
    "llama.attention.head_count_kv": 3, "llama.context_length": 8192,
    "tokenizer.ggml.tokens": 49152,
}  # fmt: skip
"""SmolLM2-135M's header."""


def test_a_gguf_header_tells_the_sizes_that_a_config_tells() -> None:
    found = shape_of_gguf(LLAMA_GGUF, {"token_embd.weight"})
    assert found is not None
    assert (found.parameters, found.tied, found.context_tokens) == (134_515_008, True, 8192)
    assert cache_bytes_a_token(found, "fp32") == 2 * 30 * 3 * 64 * 4
    untied = shape_of_gguf(LLAMA_GGUF, {"token_embd.weight", "output.weight"})
    assert untied is not None
    assert untied.parameters == found.parameters + 49152 * 576
    assert shape_of_gguf({"general.architecture": "gemma2"}, set()) is None


def test_a_gguf_file_stays_small_only_with_the_engine_that_computes_in_its_bits() -> None:
    found = shape_of_gguf(LLAMA_GGUF, {"token_embd.weight"})
    source = ServeSource(found, gguf=True, file_bytes=90_000_000)

    def weights(**spec: object) -> float:
        made = plan_server(ServeSpec(model="m.gguf", **spec), shape_for(found), [card(24.0)],
                           source=source)  # fmt: skip
        return made.forecast.parts_gib["weights"] * GIB

    assert weights(engine="llama_cpp", llama_server="/opt/llama-server") == 90_000_000
    assert weights() == pytest.approx(134_515_008 * 2)


def test_files_that_are_quantized_already_weigh_what_they_weigh() -> None:
    source = ServeSource(shape(R1_QWEN_7B), quantized=True, file_bytes=5 * GIB)
    made = plan_server(ServeSpec(model="m"), shape(R1_QWEN_7B), [card(12.0)], source=source)
    assert made.forecast.parts_gib["weights"] == 5.0
    assert not made.can_quantize


def test_without_bitsandbytes_four_bits_are_neither_chosen_nor_offered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def made(installed: bool) -> tuple[str, bool]:
        monkeypatch.setattr(serve_forecast, "can_quantize", lambda: installed)
        found = plan_server(ServeSpec(model="m"), shape(R1_QWEN_7B), [card(15.0)])
        return found.precision, found.can_quantize

    assert made(True) == ("4bit", True)
    assert made(False) == ("bf16", False)


def test_on_a_processor_no_more_is_promised_than_the_engine_takes() -> None:
    found = forecast_server(shape_for(shape_of_gguf(LLAMA_GGUF, {"token_embd.weight"})),
                            ServeLoad("fp32", "cpu", batch=16), 16.0)  # fmt: skip
    assert (found.cache_tokens, found.full_chats, found.fit) == (32_768, 4, "roomy")


def shape_for(found: ModelShape | None) -> ModelShape:
    assert found is not None
    return found
