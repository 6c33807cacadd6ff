"""Which engine serves a model, in which precision, and that people are told why."""

from __future__ import annotations

import json
import re
from pathlib import Path
from string import Formatter

import pytest

from app.texts.serving import (
    COMMAND_REFUSALS,
    ENGINE_REASONS,
    PRECISION_REASONS,
    engine_reason_text,
    precision_reason_text,
)
from core.catalog.model_info import ModelInfo
from core.config.serve import ServeSpec
from core.hardware.gpu import GpuSample
from core.serving import Circumstances, choice, choose
from tests.unit.test_planning_shapes import V2_LITE
from workers.serve.engines.choice import choice_for

CARD = Circumstances(on_card=True, capability=(9, 0), need_16bit_gib=14.0, budget_gib=20.0)


def spec(**values: object) -> ServeSpec:
    return ServeSpec(model="m", **values)


@pytest.mark.parametrize(
    ("asked", "known", "engine", "reason"),
    [
        (spec(), CARD, "native", "native_suits"),
        (spec(engine="transformers"), CARD, "transformers", "as_chosen"),
        (spec(), Circumstances(native_refusal="architecture mamba"), "transformers",
         "native_unsuited"),
        (spec(cpu_offload=True), CARD, "transformers", "offload_wanted"),
        (spec(cpu_offload=True), Circumstances(), "native", "native_suits"),
        (spec(), Circumstances(gguf=True), "native", "native_suits"),
        (spec(llama_server="/x"), Circumstances(gguf=True), "llama_cpp", "gguf_on_llama_cpp"),
        (spec(llama_server="/x"), CARD, "native", "native_suits"),
        (spec(vllm_python="/x"), CARD, "native", "native_suits"),
        (spec(vllm_python="/x", tensor_parallel=4), CARD, "vllm", "several_cards_on_vllm"),
        (spec(tensor_parallel=4), CARD, "native", "native_suits"),
    ],
)  # fmt: skip
def test_the_engine(asked: ServeSpec, known: Circumstances, engine: str, reason: str) -> None:
    found = choose(asked, known)
    assert (found.engine, found.engine_reason) == (engine, reason)


@pytest.mark.parametrize(
    ("asked", "changes", "precision", "reason"),
    [
        (spec(), {}, "bf16", "fits_16bit"),
        (spec(), {"capability": (7, 5)}, "fp16", "fits_16bit"),
        (spec(), {"budget_gib": 15.0}, "4bit", "four_bit_for_memory"),
        (spec(), {"budget_gib": 15.0, "need_4bit_gib": 5.0}, "4bit", "four_bit_for_memory"),
        (spec(), {"budget_gib": 4.0, "need_4bit_gib": 5.0}, "4bit", "four_bit_too_large"),
        (spec(), {"budget_gib": 15.0, "can_quantize": False}, "bf16", "no_four_bit"),
        (spec(), {"budget_gib": 15.0, "gguf": True}, "bf16", "no_four_bit"),
        (spec(), {"budget_gib": None}, "auto", "memory_unknown"),
        (spec(), {"need_16bit_gib": None}, "auto", "memory_unknown"),
        (spec(), {"on_card": False}, "fp32", "fp32_on_processor"),
        (spec(), {"quantized_file": True}, "auto", "file_is_quantized"),
        (spec(cpu_offload=True), {"budget_gib": 5.0}, "bf16", "offloaded_16bit"),
        (spec(precision="8bit"), {"budget_gib": 5.0}, "8bit", "as_chosen"),
        (spec(engine="vllm"), {}, "auto", "engines_own"),
    ],
)
def test_the_precision(
    asked: ServeSpec, changes: dict[str, object], precision: str, reason: str
) -> None:
    found = choose(asked, Circumstances(**{**CARD.__dict__, **changes}))
    assert (found.precision, found.precision_reason) == (precision, reason)


def test_a_model_of_unknown_size_on_an_old_card_is_left_to_the_engine() -> None:
    found = choose(spec(), Circumstances(on_card=True, capability=(7, 0)))
    assert found.precision == "auto"


def test_every_reason_has_its_sentence_in_both_languages() -> None:
    assert set(ENGINE_REASONS) == set(choice.ENGINE_CODES)
    assert set(PRECISION_REASONS) == set(choice.PRECISION_CODES)
    for words in (*ENGINE_REASONS.values(), *PRECISION_REASONS.values()):
        fields = [{f for _, f, _, _ in Formatter().parse(text) if f} for text in words]
        assert fields[0] == fields[1]
        assert re.search("[一-鿿]", words.zh)


def test_every_refusal_of_a_command_has_its_sentence() -> None:
    source = Path("workers/serve/commands.py").read_text("utf-8")
    said = set(re.findall(r'(?:_Refused\(|_answer\(command, )"(\w+)"', source))
    assert said - {"internal"} <= set(COMMAND_REFUSALS)
    assert "name_taken" in said


@pytest.mark.parametrize("budget_gib", [15.0, 20.0])
def test_numbers_of_a_decision_stand_in_its_sentence(budget_gib: float) -> None:
    found = choose(spec(), Circumstances(**{**CARD.__dict__, "budget_gib": budget_gib}))
    sentence = precision_reason_text(found.precision_reason, found.precision_params, "en")
    assert "14.0 GiB" in sentence
    assert f"{budget_gib} GiB" in sentence
    unsuited = choose(spec(), Circumstances(native_refusal="architecture mamba"))
    assert "architecture mamba" in engine_reason_text(
        unsuited.engine_reason, unsuited.engine_params, "zh"
    )
    assert engine_reason_text("from_the_future", {}, "en") == "from_the_future"


def test_people_are_told_when_experts_make_even_4_bits_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.services.serve_forecast.torch_has_cuda", lambda: True)
    (tmp_path / "config.json").write_text(json.dumps(V2_LITE))
    model = ModelInfo(id="m", name="m", model_type="deepseek_v2", parameters=15_706_484_224)

    def on(total_gib: float) -> tuple[str, str, str]:
        card = GpuSample(
            0, "card", memory_used_gib=0.5, memory_total_gib=total_gib, compute_capability=(8, 9)
        )
        found = choice_for(ServeSpec(model=str(tmp_path)), model, [card])
        return found.engine, found.precision, found.precision_reason

    assert on(48.0) == ("native", "bf16", "fits_16bit")
    assert on(24.0) == ("native", "4bit", "four_bit_too_large")


def test_a_folder_and_a_card_lead_to_a_choice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.services.serve_forecast.torch_has_cuda", lambda: True)
    sizes = {
        "model_type": "llama", "hidden_size": 4096, "intermediate_size": 11008,
        "num_hidden_layers": 30, "num_attention_heads": 32, "num_key_value_heads": 32,
        "vocab_size": 102400, "max_position_embeddings": 4096, "tie_word_embeddings": False,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(sizes))
    model = ModelInfo(id="m", name="m", model_type="llama", parameters=6_910_365_696)

    def on(total_gib: float, used_gib: float = 1.0) -> str:
        card = GpuSample(
            0, "card", memory_used_gib=used_gib, memory_total_gib=total_gib,
            compute_capability=(8, 9),
        )  # fmt: skip
        return choice_for(ServeSpec(model=str(tmp_path)), model, [card]).precision

    assert (on(80.0), on(24.0), on(12.0), on(24.0, used_gib=10.0)) == (
        "bf16", "bf16", "4bit", "4bit",
    )  # fmt: skip
    on_processor = choice_for(ServeSpec(model=str(tmp_path)), model, [])
    assert (on_processor.engine, on_processor.precision) == ("native", "fp32")
