"""Measures that save memory change neither the loss nor a gradient."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch

from core.config.lora import LoraSpec
from core.config.train import TrainSpec
from tests.tiny_models import ARCHITECTURES, build_tiny
from workers.train import model as loading
from workers.train.activation_offload import ActivationOffload
from workers.train.adapters import make_trainable
from workers.train.device import Place
from workers.train.memory_options import (
    OFFLOAD_NEEDS_CARD,
    checkpoint_layers,
    decoder_of,
    keep_expensive,
    save_memory,
)
from workers.train.quantization import STAYED_WIDE, model_bytes, wide_weights_notes
from workers.train.random_state import seed_all

CPU = Place("cpu", "fp32")
needs_bitsandbytes = pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed"
)
IDS = torch.arange(3, 35).reshape(2, 16)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {arch: build_tiny(root / arch, arch) for arch in ARCHITECTURES}


def trainable(folder: Path, **values: Any) -> Any:
    """The base and what is trained of it, the adapter's second factor moved off its zero."""
    spec = TrainSpec.parse({"model": "m", "data": "d", **values})
    info = loading.inspect(folder)
    base = loading.load_base(info, loading.load_tokenizer(info), CPU, spec)
    seed_all(0)
    trained = make_trainable(base, spec, CPU)
    for name, parameter in trained.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.02)
    trained.model.train()
    return base, trained.model


def pass_through(model: Any) -> tuple[float, dict[str, torch.Tensor]]:
    seed_all(1)  # dropout, where there is any
    model.zero_grad()
    loss = model(input_ids=IDS, labels=IDS, use_cache=False).loss
    loss.backward()
    found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    return float(loss.detach()), found


MODES: dict[str, dict[str, Any]] = {
    "lora": {"lora": {"r": 4, "target_modules": ["all-linear"], "lora_dropout": 0.3}},
    "dora": {"lora": {"r": 4, "target_modules": ["all-linear"], "use_dora": True}},
    "full": {"method": "full"},
}
NF4 = {"lora": {"r": 4, "target_modules": ["all-linear"]}, "load_in_4bit": True}


@pytest.mark.parametrize("selective", [False, True])
@pytest.mark.parametrize("mode", [*MODES, pytest.param("nf4", marks=needs_bitsandbytes)])
def test_checkpointing_gives_the_same_loss_and_every_gradient(
    folders: dict[str, Path], mode: str, selective: bool
) -> None:
    base, model = trainable(folders["llama"], **(MODES | {"nf4": NF4})[mode])
    plain = pass_through(model)
    checkpoint_layers(base.model, selective=selective)
    again = pass_through(model)
    assert plain[0] == again[0]
    assert plain[1].keys() == again[1].keys()
    for name, gradient in plain[1].items():
        torch.testing.assert_close(again[1][name], gradient, rtol=1e-6, atol=1e-8)
    trained = [n for n, p in model.named_parameters() if p.requires_grad]
    assert all(again[1][name].abs().sum() > 0 for name in trained if "lora_A" not in name)
    assert again[1].keys() == set(trained)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_selective_checkpointing_is_right_for_every_architecture(
    folders: dict[str, Path], arch: str
) -> None:
    base, model = trainable(folders[arch], **MODES["lora"])
    plain = pass_through(model)
    checkpoint_layers(base.model, selective=True)
    again = pass_through(model)
    assert plain[0] == again[0]
    for name, gradient in plain[1].items():
        torch.testing.assert_close(again[1][name], gradient, rtol=1e-5, atol=1e-8)


class Counter(torch.utils._python_dispatch.TorchDispatchMode):
    """Counts matrix products."""

    def __init__(self) -> None:
        super().__init__()
        self.products = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.products += func in (torch.ops.aten.mm.default, torch.ops.aten.addmm.default)
        return func(*args, **(kwargs or {}))


def test_selective_computes_fewer_products_again_than_full(folders: dict[str, Path]) -> None:
    counts = []
    for mode in (None, False, True):
        base, model = trainable(folders["llama"], method="full")
        if mode is not None:
            checkpoint_layers(base.model, selective=mode)
        with Counter() as counter:
            pass_through(model)
        counts.append(counter.products)
    plain, full, selective = counts
    assert plain < selective < full


def test_the_policy_keeps_square_products_and_attention_only() -> None:
    from torch.utils.checkpoint import CheckpointPolicy

    def kept(op: Any, *args: Any) -> bool:
        return keep_expensive(None, op, *args) is CheckpointPolicy.MUST_SAVE

    mm, x = torch.ops.aten.mm.default, torch.ones(3, 64)
    assert kept(mm, x, torch.ones(64, 64))
    assert not kept(mm, x, torch.ones(64, 172))
    assert not kept(mm, torch.ones(3, 172), torch.ones(172, 64))
    assert not kept(mm, x, torch.ones(64, 4))
    assert kept(torch.ops.aten.addmm.default, torch.ones(64), x, torch.ones(64, 64))
    assert kept(torch.ops.aten._scaled_dot_product_flash_attention.default)
    assert not kept(torch.ops.aten.silu.default, x)


@pytest.mark.parametrize("mode", ["off", "full", "selective"])
def test_offloaded_activations_come_back_as_they_were(folders: dict[str, Path], mode: str) -> None:
    base, model = trainable(folders["llama"], **MODES["lora"])
    plain = pass_through(model)
    if mode != "off":
        checkpoint_layers(base.model, selective=mode == "selective")
    offload = ActivationOffload(min_bytes=1)
    offload.attach(decoder_of(base.model))
    for _ in range(2):
        again = pass_through(model)
        assert plain[0] == again[0]
        for name, gradient in plain[1].items():
            torch.testing.assert_close(again[1][name], gradient, rtol=1e-6, atol=1e-8)
        # With checkpointing only the layers' inputs: 2 layers x 2 x 16 tokens x 32 x fp32.
        least = 2 * 2 * 16 * 32 * 4
        assert offload.offloaded_bytes >= least
        assert (offload.offloaded_bytes < 4 * least) == (mode != "off")


def test_weights_are_not_offloaded_and_evaluation_is_left_alone(folders: dict[str, Path]) -> None:
    base, model = trainable(folders["llama"], method="full")
    offload = ActivationOffload(min_bytes=1)
    offload.attach(decoder_of(base.model))
    with torch.no_grad():
        model(input_ids=IDS, use_cache=False)
    assert offload.offloaded_bytes == 0
    model.eval()
    model(input_ids=IDS, use_cache=False)
    assert offload.offloaded_bytes == 0
    kept = offload._pack(base.model.model.layers[0].mlp.up_proj.weight.t())
    assert isinstance(kept, torch.Tensor)


def test_offloading_activations_without_a_card_is_noted_not_done(folders: dict[str, Path]) -> None:
    base, _ = trainable(folders["llama"], **MODES["lora"])
    spec = TrainSpec.parse(
        {"model": "m", "data": "d", "activation_offload": True, "gradient_checkpointing": "full"}
    )
    assert [n.code for n in save_memory(base.model, spec, CPU)] == [OFFLOAD_NEEDS_CARD]


@needs_bitsandbytes
@pytest.mark.parametrize("arch", ["deepseek_v2", "deepseek_v3"])
@pytest.mark.parametrize("option", ["load_in_4bit", "load_in_8bit"])
def test_routed_experts_that_stay_16_bit_are_said_with_the_bytes_they_take(
    tmp_path: Path, arch: str, option: str
) -> None:
    folder = build_tiny(tmp_path / "m", arch, n_routed_experts=16, dtype="bfloat16")
    spec = TrainSpec.parse({"model": "m", "data": "d", option: True})
    info = loading.inspect(folder)
    base = loading.load_base(info, loading.load_tokenizer(info), Place("cpu", "bf16"), spec)
    (note,) = wide_weights_notes(base.model, spec)
    assert note.code == STAYED_WIDE
    assert note.params["tensors"].startswith(
        ("mlp.experts.gate_up_proj ×1, mlp.experts.down_proj ×1", "mlp.experts.down_proj ×1")
    )
    experts = [p for n, p in base.model.named_parameters() if ".experts." in n and p.ndim == 3]
    assert all(p.dtype == torch.bfloat16 for p in experts)


@needs_bitsandbytes
@pytest.mark.parametrize(
    ("options", "a_weight"),
    [
        ({"load_in_4bit": True}, 0.5 + 1 / 64 + 4 / (64 * 256)),
        ({"load_in_4bit": True, "bnb_4bit_use_double_quant": False}, 0.5 + 4 / 64),
        ({"load_in_8bit": True}, 1.0),
    ],
)
def test_a_dense_model_takes_the_bytes_that_are_promised(
    tmp_path: Path, options: dict[str, Any], a_weight: float
) -> None:
    sizes = {"hidden_size": 512, "intermediate_size": 1024, "num_hidden_layers": 1}
    folder = build_tiny(tmp_path / "m", "llama", dtype="bfloat16", **sizes)
    spec = TrainSpec.parse({"model": "m", "data": "d", **options})
    info = loading.inspect(folder)
    base = loading.load_base(info, loading.load_tokenizer(info), Place("cpu", "bf16"), spec)
    assert wide_weights_notes(base.model, spec) == []
    linear = 512 * 512 * 2 + 512 * 256 * 2 + 3 * 512 * 1024
    rest = 2 * 400 * 512 * 2
    assert model_bytes(base.model) == pytest.approx(linear * a_weight + rest, rel=0.03)


def test_lora_parameters_are_fp32_on_an_fp16_base(folders: dict[str, Path]) -> None:
    """A loss scaler refuses fp16 gradients; also a bf16 adapter is raised, and that is said."""
    info = loading.inspect(folders["llama"])
    place = Place("cpu", "fp16")
    base = loading.load_base(info, loading.load_tokenizer(info), place)
    spec = TrainSpec(model="m", data="d", lora=LoraSpec(dtype="bf16"))
    trained = make_trainable(base, spec, place)
    assert [n.code for n in trained.notes] == ["adapter_kept_fp32"]
    dtypes = {(p.requires_grad, p.dtype) for p in trained.model.parameters()}
    assert dtypes == {(True, torch.float32), (False, torch.float16)}


@pytest.mark.parametrize("rslora", [False, True])
def test_the_scale_is_peft_s(folders: dict[str, Path], rslora: bool) -> None:
    lora = {"r": 16, "lora_alpha": 8, "use_rslora": rslora}
    _, model = trainable(folders["llama"], lora=lora)
    scale = model.base_model.model.model.layers[0].self_attn.q_proj.scaling["default"]
    assert scale == (8 / 4 if rslora else 8 / 16)


@needs_bitsandbytes
def test_all_weights_of_files_that_are_quantized_already_are_not_trained(tmp_path: Path) -> None:
    from core.errors import ErrorCode, UsageError

    source = build_tiny(tmp_path / "m")
    spec = TrainSpec.parse({"model": "m", "data": "d", "load_in_4bit": True})
    info = loading.inspect(source)
    base = loading.load_base(info, loading.load_tokenizer(info), CPU, spec)
    base.model.save_pretrained(tmp_path / "small")
    base.tokenizer.save_pretrained(tmp_path / "small")
    with pytest.raises(UsageError) as caught:
        trainable(tmp_path / "small", method="full")
    assert caught.value.code is ErrorCode.TRAIN_COMBINATION
