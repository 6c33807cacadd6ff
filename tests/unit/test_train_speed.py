"""Which kernels a run's layers get, and what the user is told about it."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from app.texts.train_notes import TRAIN_NOTES  # noqa: E402
from core.config.train import TrainSpec  # noqa: E402
from tests.tiny_models import tiny_config  # noqa: E402
from workers.train import speed  # noqa: E402
from workers.train.device import Place  # noqa: E402

CARD, PROCESSOR = Place("cuda", "bf16"), Place("cpu", "fp32")


def spec_of(**values: Any) -> TrainSpec:
    return TrainSpec(model="m", data="d", **values)


def model_of(arch: str = "llama", **lora: Any) -> Any:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_config(tiny_config(arch)).requires_grad_(False)
    return get_peft_model(base, LoraConfig(r=4, target_modules=["o_proj"], **lora))


@pytest.fixture
def kernels_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a card: the forms are the same, in plain torch."""
    from functools import partial

    from workers.train.fast.entry import accelerate

    monkeypatch.setattr(speed, "accelerate", partial(accelerate, without_kernels=True))


def fast_layers(model: Any) -> list[str]:
    return [m.forward._fast.recompute for m in model.modules() if "forward" in m.__dict__
            and hasattr(m.forward, "_fast")]  # fmt: skip


@pytest.mark.usefixtures("kernels_anywhere")
@pytest.mark.parametrize(("field", "recompute"), [("off", "none"), ("selective", "selective"),
                                                  ("full", "full")])  # fmt: skip
def test_the_spec_says_what_is_recomputed(field: str, recompute: str) -> None:
    model = model_of()
    assert speed.speed_up(model, spec_of(gradient_checkpointing=field), CARD) == []
    assert fast_layers(model) == [recompute] * 2


@pytest.mark.usefixtures("kernels_anywhere")
@pytest.mark.parametrize(
    "values", [{"fast_kernels": False}, {"parallel": {"strategy": "tp", "nproc_per_node": 2}}]
)
def test_plain_layers_where_they_are_wanted_or_needed(values: dict[str, Any]) -> None:
    model = model_of()
    assert speed.speed_up(model, spec_of(**values), CARD) == []
    assert fast_layers(model) == []


@pytest.mark.parametrize(
    ("arch", "lora", "code"),
    [
        ("deepseek_v3", {}, "fast_kernels_not_for_architecture"),
        ("llama", {"use_dora": True}, "fast_kernels_not_for_adapter"),
        ("llama", {}, "fast_kernels_not_on_card"),
    ],
)
def test_on_a_card_the_user_is_told_why_layers_are_slow(
    arch: str, lora: dict[str, Any], code: str
) -> None:
    (note,) = speed.speed_up(model_of(arch, **lora), spec_of(), CARD)
    assert (note.code, note.params["layers"]) == (code, 2)


def test_without_a_card_nobody_is_told() -> None:
    assert speed.speed_up(model_of(), spec_of(), PROCESSOR) == []


def test_liger_is_only_asked_for_by_the_spec_and_its_absence_is_said() -> None:
    model = model_of().base_model.model
    assert speed.patch_base(model, spec_of(), CARD) == []
    (note,) = speed.patch_base(model, spec_of(use_liger_kernel=True), PROCESSOR)
    assert note.code == "liger_needs_card"


@pytest.mark.usefixtures("kernels_anywhere")
def test_compiling_leaves_fast_layers_alone_and_says_so() -> None:
    model = model_of()
    (note,) = speed.speed_up(model, spec_of(torch_compile=True), PROCESSOR)
    assert (note.code, note.params) == (speed.NOT_COMPILED, {"layers": 2})
    assert all(m._compiled_call_impl is None for m in model.modules())


def test_plain_layers_are_compiled_one_by_one() -> None:
    model = model_of()
    assert speed.speed_up(model, spec_of(torch_compile=True), PROCESSOR) == []
    compiled = [m for m in model.modules() if m._compiled_call_impl is not None]
    assert [type(m).__name__ for m in compiled] == ["LlamaDecoderLayer"] * 2


def test_every_note_has_words() -> None:
    codes = {speed.NOT_COMPILED, *speed.NOT_FAST.values(), *speed.NO_LIGER.values()}
    assert codes <= TRAIN_NOTES.keys()
