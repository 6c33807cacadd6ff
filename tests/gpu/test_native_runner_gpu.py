"""The native runner on a card: kernels and recorded passes against transformers in float32."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

import torch

from tests.tiny_models import build_tiny, tiny_config
from tests.unit.native_model_helpers import Driver, Row, tokens
from workers.serve.native import ops

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA card"),
]

PAGE_TOKENS = 16
SIZES = {
    "hidden_size": 256,
    "intermediate_size": 704,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
}
LATENT_SIZES = {
    "hidden_size": 256,
    "intermediate_size": 704,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "kv_lora_rank": 64,
    "qk_nope_head_dim": 32,
    "qk_rope_head_dim": 32,
    "v_head_dim": 32,
    "moe_intermediate_size": 128,
}
WORSE_THAN_ITS_OWN = 1.5
"""How much farther from float32 the kernels may be than transformers in the same 16 bits."""


def small_model(arch: str, dtype: torch.dtype, **changes: Any) -> Any:
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    sizes = LATENT_SIZES if arch.startswith("deepseek") else SIZES
    config = tiny_config(arch, **(sizes | changes))
    with torch.device("cuda"):
        model = AutoModelForCausalLM.from_config(config)
    for parameter in model.parameters():
        parameter.data.add_(torch.randn_like(parameter) * 0.02)
    return model.to(dtype).eval().requires_grad_(False)


def rows() -> list[Row]:
    return [Row([5, 3, 9]), Row([20, 21, 22, 30]), Row([2, 40, 41, 1])]


def steps() -> list[list[int]]:
    """New tokens of three rows a pass: prompts, bites beside decoding, decode."""
    return [[29, 1, 17], [1, 33, 1], [1, 1, 1], [1, 1, 1]]


def apart(made: torch.Tensor, exact: torch.Tensor) -> float:
    return float((made.float() - exact).norm() / exact.norm())


def mostly_apart(made: torch.Tensor, exact: torch.Tensor) -> float:
    """Of the median token: where experts are routed, rounding sends a few elsewhere."""
    return float(((made.float() - exact).norm(dim=1) / exact.norm(dim=1)).median())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("arch", ["llama", "qwen2", "qwen3", "deepseek_v2", "deepseek_v3"])
@pytest.mark.parametrize("graphs", [False, True])
def test_logits_are_as_near_to_float32_as_those_of_transformers(
    arch: str, dtype: torch.dtype, graphs: bool
) -> None:
    model = small_model(arch, dtype)
    exact = copy.deepcopy(model).float()
    twin = copy.deepcopy(model)
    driver = Driver(model, positions=96, on_host=False, page_tokens=PAGE_TOKENS, graphs=graphs)
    driver.runner.capture(4, lambda *_: None, max_tokens=96)
    three = rows()
    for number, counts in enumerate(steps()):
        news = [(r, tokens(n, number)) for r, n in zip(three, counts, strict=True)]
        # Recorded passes give logits of each row's last token only.
        made = driver.runner.forward(driver.batch(news, all_logits=not graphs))
        wanted, own = [], []
        for row, new in news:
            seen, last = torch.tensor([row.seen], device="cuda"), 1 if graphs else len(new)
            wanted.append(exact(seen).logits[0, -last:])
            own.append(twin(seen).logits[0, -last:])
        oracle = torch.cat(wanted)
        error = mostly_apart if arch.startswith("deepseek") else apart
        assert error(made, oracle) <= WORSE_THAN_ITS_OWN * error(torch.cat(own), oracle) + 2e-3
    if graphs:
        assert driver.runner.graphs is not None
        assert driver.runner.graphs.reason == ""
        assert ("writing", 4, False) in driver.runner.graphs.recorded
        assert ("reading", 48, False) not in driver.runner.graphs.recorded
        assert ("reading", 64, False) in driver.runner.graphs.recorded


def test_a_recorded_pass_is_the_computed_one_for_every_number_of_rows() -> None:
    model = small_model("qwen2", torch.bfloat16)
    recorded = Driver(model, positions=96, on_host=False, page_tokens=PAGE_TOKENS, graphs=True)
    recorded.runner.capture(5, lambda *_: None, max_tokens=128)
    computed = Driver(model, positions=96, on_host=False, page_tokens=PAGE_TOKENS)
    for count in (5, 2, 4, 1, 3):
        ours, theirs = ([Row([7 * i + 1, 7 * i + 2]) for i in range(count)] for _ in range(2))
        firsts: list[torch.Tensor] = []
        for driver, mine in ((recorded, ours), (computed, theirs)):
            prompts = [(r, tokens(9 + i, i)) for i, r in enumerate(mine)]
            read = driver.runner.forward(driver.batch(prompts, all_logits=False)).clone()
            firsts.append(read.float())
        assert apart(*firsts) < 1e-2
        for turn in range(3):
            one = recorded.runner.forward(recorded.batch([(r, tokens(1, turn)) for r in ours]))
            two = computed.runner.forward(computed.batch([(r, tokens(1, turn)) for r in theirs]))
            assert apart(one, two.float()) < 1e-2


def test_padding_rows_write_to_the_scratch_page_alone() -> None:
    model = small_model("llama", torch.bfloat16)
    driver = Driver(model, positions=96, on_host=False, page_tokens=PAGE_TOKENS, graphs=True)
    driver.runner.capture(8, lambda *_: None, max_tokens=128)
    kept = [tensor.clone() for tensor in driver.pool.keys]
    assert all(not tensor[1:].any() for tensor in kept), "warming up wrote to somebody's page"
    row = Row([6, 7])
    for count in (4, 1, 3, 1):
        driver.runner.forward(driver.batch([(row, tokens(count))], all_logits=False))
    for tensor in driver.pool.keys:
        touched = tensor[1:].flatten(1).any(-1).nonzero().flatten() + 1
        assert touched.tolist() == [6]


def quantized(folder: Path, bits: int) -> Any:
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    config = BitsAndBytesConfig(
        load_in_4bit=bits == 4,
        load_in_8bit=bits == 8,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    return AutoModelForCausalLM.from_pretrained(
        folder, quantization_config=config, dtype=torch.bfloat16, device_map={"": 0}
    ).eval()


def plain(folder: Path, dtype: torch.dtype) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, device_map={"": 0}).eval()


def written_token_by_token(driver: Driver, ids: list[int], prompt: int) -> torch.Tensor:
    """Logits of all of `ids`, the first `prompt` of them read in two bites."""
    row, half = rows()[0], prompt // 2
    made = [driver.runner.forward(driver.batch([(row, ids[:half])])).clone()]
    made.append(driver.runner.forward(driver.batch([(row, ids[half:prompt])])).clone())
    for token in ids[prompt:]:
        made.append(driver.runner.forward(driver.batch([(row, [token])])).clone())
    return torch.cat(made)


def logits_of(model: Any, ids: list[int]) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(torch.tensor([ids], device="cuda")).logits[0]
    return found


@pytest.mark.parametrize("bits", [4, 8])
def test_a_quantized_model_is_recorded_and_right(bits: int, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    folder = build_tiny(tmp_path / "m", "qwen2", **SIZES)
    model, ids = quantized(folder, bits), tokens(40)
    own, exact = logits_of(model, ids), logits_of(plain(folder, torch.float32), ids)
    driver = Driver(model, positions=96, on_host=False, page_tokens=PAGE_TOKENS, graphs=True)
    driver.runner.capture(2, lambda *_: None, max_tokens=64)
    made = written_token_by_token(driver, ids, 30)
    assert driver.runner.graphs is not None
    assert driver.runner.graphs.reason == ""
    assert apart(made, exact) <= 1.3 * apart(own, exact) + 1e-3


@pytest.mark.parametrize("bits", [16, 4, 8])
def test_a_card_without_our_kernels_is_served_by_those_of_others(
    bits: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("bitsandbytes")
    monkeypatch.setattr(ops, "_kernel", lambda *_: None)  # as on a card before Ampere
    folder = build_tiny(tmp_path / "m", "qwen2", **SIZES)
    model = plain(folder, torch.bfloat16) if bits == 16 else quantized(folder, bits)
    ids = tokens(40)
    own, exact = logits_of(model, ids), logits_of(plain(folder, torch.float32), ids)
    driver = Driver(model, positions=96, on_host=False, page_tokens=PAGE_TOKENS, graphs=True)
    driver.runner.capture(2, lambda *_: None, max_tokens=64)
    made = written_token_by_token(driver, ids, 30)
    assert driver.runner.graphs is not None
    assert driver.runner.graphs.recorded == ()
    assert apart(made, exact) <= 1.5 * apart(own, exact) + 1e-3


def test_adapters_a_row_are_recorded_too_and_can_be_swapped(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    import json

    from safetensors.torch import save_file

    model = small_model("llama", torch.bfloat16)
    exact = copy.deepcopy(model).float()
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        torch.manual_seed(ord(name))
        pairs = {}
        for layer in range(3):
            key = f"base_model.model.model.layers.{layer}.self_attn.v_proj"
            pairs[f"{key}.lora_A.weight"] = torch.randn(8, 256) * 0.1
            pairs[f"{key}.lora_B.weight"] = torch.randn(128, 8) * 0.1
        save_file(pairs, folder / "adapter_model.safetensors")
        (folder / "adapter_config.json").write_text(
            json.dumps({"peft_type": "LORA", "r": 8, "lora_alpha": 8})
        )
    driver = Driver(model, positions=96, on_host=False, page_tokens=PAGE_TOKENS, graphs=True)
    driver.runner.capture(2, lambda *_: None, max_tokens=64)
    bank = driver.runner.adapters
    for name in ("a", "b"):
        index = bank.load("live", tmp_path / name)
        oracle = copy.deepcopy(exact)
        from safetensors.torch import load_file

        pairs = load_file(tmp_path / name / "adapter_model.safetensors", device="cuda")
        for layer, module in enumerate(oracle.model.layers):
            key = f"base_model.model.model.layers.{layer}.self_attn.v_proj"
            a, b = pairs[f"{key}.lora_A.weight"], pairs[f"{key}.lora_B.weight"]
            module.self_attn.v_proj.weight.data += b @ a
        one, base = Row([5, 3]), Row([9, 11])
        for count in (12, 1, 1):
            news = [(one, tokens(count)), (base, tokens(count, 1))]
            batch = driver.batch(news, all_logits=False, adapters=[index, 0])
            made = driver.runner.forward(batch)
            wanted = [logits_of(oracle, one.seen)[-1], logits_of(exact, base.seen)[-1]]
            assert apart(made, torch.stack(wanted)) < 2e-2
        bank.unload("live")
    assert driver.runner.graphs is not None
    assert ("writing", 2, True) in driver.runner.graphs.recorded
    assert ("reading", 32, True) in driver.runner.graphs.recorded
