"""Projections over plain, 8-bit and 4-bit modules: what transformers' modules give, fused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.tiny_models import build_tiny
from tests.unit.native_model_helpers import Driver, Row, tokens
from workers.serve.native.linears import (
    Int8Weights,
    ModuleWeights,
    Nf4Weights,
    PlainWeights,
    Projection,
)


def _plain(*widths: int, bias: bool = False) -> list[nn.Linear]:
    torch.manual_seed(0)
    return [nn.Linear(64, width, bias=bias).requires_grad_(False) for width in widths]


def _one_by_one(modules: list[Any], x: torch.Tensor) -> torch.Tensor:
    return torch.cat([module(x) for module in modules], dim=-1)


@pytest.mark.parametrize("bias", [False, True])
def test_fused_plain_modules_give_what_they_gave_one_by_one(bias: bool) -> None:
    modules, x = _plain(64, 32, 32, bias=bias), torch.randn(5, 64)
    expected = _one_by_one(modules, x)
    projection = Projection(modules)
    assert isinstance(projection.weights, PlainWeights)
    assert projection.sizes == (64, 32, 32)
    torch.testing.assert_close(projection(x), expected)
    torch.testing.assert_close(_one_by_one(modules, x), expected)


def test_a_bias_of_some_parts_is_nothing_in_the_others() -> None:
    modules, x = [*_plain(8, bias=True), *_plain(8)], torch.randn(3, 64)
    torch.testing.assert_close(Projection(modules)(x), _one_by_one(modules, x))


def test_modules_of_an_unknown_kind_are_called_as_they_are() -> None:
    class Scaled(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(x)

    modules, x = [Scaled(64, 8), Scaled(64, 16)], torch.randn(3, 64)
    projection = Projection(modules)
    assert isinstance(projection.weights, ModuleWeights)
    torch.testing.assert_close(projection(x), _one_by_one(modules, x))


def test_modules_without_a_plain_weight_are_called_as_they_are() -> None:
    class Packed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.in_features, self.out_features = 4, 4
            self.register_buffer("qweight", torch.tensor([2.0]))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.qweight

    x = torch.randn(3, 4)
    assert torch.equal(Projection([Packed()])(x), 2 * x)


@pytest.mark.parametrize("rows", [1, 5, 40])
@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_fused_nf4_modules_give_what_bitsandbytes_gives(
    double: bool, bias: bool, rows: int
) -> None:
    bnb = pytest.importorskip("bitsandbytes")
    modules = []
    for plain in _plain(64, 32, bias=bias):
        module = bnb.nn.Linear4bit(
            64, plain.out_features, bias, quant_type="nf4", compress_statistics=double
        )
        module.load_state_dict(plain.state_dict())
        module.support_avx512bf16_for_cpu = False
        modules.append(module.to("cpu"))
    x = torch.randn(rows, 64)
    expected = _one_by_one(modules, x)
    projection = Projection(modules)
    assert isinstance(projection.weights, Nf4Weights)
    torch.testing.assert_close(projection(x), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(_one_by_one(modules, x), expected, rtol=1e-5, atol=1e-5)
    packed = projection.weights.packed
    assert packed.numel() == 96 * 64 // 2
    for module in modules:
        assert module.weight.data.untyped_storage().data_ptr() == packed.data_ptr()


def test_fused_int8_modules_give_their_weights_unrounded_activations() -> None:
    bnb = pytest.importorskip("bitsandbytes")
    plain = _plain(64, 32, bias=True)
    modules = []
    for one in plain:
        module = bnb.nn.Linear8bitLt(64, one.out_features, True, has_fp16_weights=False)
        module.load_state_dict(one.state_dict())
        modules.append(module.to("cpu"))
    x = torch.randn(5, 64)
    projection = Projection(modules)
    assert isinstance(projection.weights, Int8Weights)
    made = projection(x)
    # Each weight is off by half a step of its row at most; bitsandbytes rounds the input as well.
    torch.testing.assert_close(made, _one_by_one(plain, x), rtol=0.02, atol=0.02)
    torch.testing.assert_close(made, _one_by_one(modules, x), rtol=0.05, atol=0.05)
    assert projection.weights.weight.dtype == torch.int8


@pytest.mark.parametrize("bits", [4, 8])
def test_a_quantized_model_gives_the_logits_of_its_own_modules(bits: int, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    from workers.train.quantization import hold_still

    folder = build_tiny(tmp_path / "m", "qwen2", hidden_size=64, intermediate_size=128)
    config = BitsAndBytesConfig(
        load_in_4bit=bits == 4, load_in_8bit=bits == 8, bnb_4bit_quant_type="nf4"
    )
    model = AutoModelForCausalLM.from_pretrained(
        folder, quantization_config=config, dtype=torch.float32
    ).eval()
    hold_still(model)
    row = Row([3, 7, 5])
    new = tokens(9)
    with torch.no_grad():
        expected = model(torch.tensor([new])).logits[0]
    driver = Driver(model)
    made = driver.runner.forward(driver.batch([(row, new)]))
    wide = 1e-4 if bits == 4 else 0.05 * float(expected.abs().max())
    torch.testing.assert_close(made, expected, rtol=1e-4, atol=wide)
