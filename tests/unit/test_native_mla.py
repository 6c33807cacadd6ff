"""Latent attention and routed experts, natively, against transformers' own forward."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.unit.native_model_helpers import Driver, Row, tiny_model, tokens
from tests.unit.test_native_adapters import expected, make_adapter
from workers.serve.native.models import Unsuited, suits, take_over

TIGHT = {"rtol": 1e-4, "atol": 5e-5}
YARN = {
    "rope_theta": 10000.0,
    "rope_type": "yarn",
    "factor": 4.0,
    "original_max_position_embeddings": 16,
    "mscale": 0.7,
    "mscale_all_dim": 0.7,
}


@pytest.mark.parametrize(
    ("arch", "changes"),
    [
        ("deepseek_v2", {}),
        ("deepseek_v2", {"q_lora_rank": 16, "attention_bias": True}),
        ("deepseek_v2", {"rope_parameters": YARN}),
        ("deepseek_v2", {"topk_method": "group_limited_greedy", "n_group": 2, "topk_group": 1}),
        ("deepseek_v2", {"first_k_dense_replace": 2, "tie_word_embeddings": True}),
        ("deepseek_v3", {}),
        ("deepseek_v3", {"q_lora_rank": None}),
        ("deepseek_v3", {"rope_parameters": YARN}),
        ("deepseek_v3", {"rope_interleave": False}),
        ("deepseek_v3", {"v_head_dim": 16}),
    ],
)
@pytest.mark.parametrize("on_host", [True, False])
def test_mixed_passes_give_the_logits_of_transformers(
    arch: str, changes: dict[str, Any], on_host: bool
) -> None:
    driver = Driver(tiny_model(arch, **changes), on_host=on_host)
    a, b, c = Row([5, 3, 9, 12, 7]), Row([20, 21, 22, 23]), Row([2, 40, 41, 1, 30, 31])
    for step in (
        [(a, tokens(7)), (b, tokens(1, 1)), (c, tokens(6, 2))],
        [(a, tokens(1, 3)), (c, tokens(9, 4)), (b, tokens(3, 5))],
        [(a, tokens(1, 6)), (b, tokens(1, 7)), (c, tokens(1, 8))],
    ):
        logits = driver.runner.forward(driver.batch(step))
        oracle = torch.cat([driver.expected(row, len(new)) for row, new in step])
        torch.testing.assert_close(logits, oracle, **TIGHT)


def test_the_cache_holds_latents_alone() -> None:
    model = tiny_model("deepseek_v3")
    driver = Driver(model)
    assert driver.pool.keys == []
    width = model.config.kv_lora_rank + model.config.qk_rope_head_dim
    assert driver.pool.latents[0].shape[-1] == width


def test_latent_matrices_of_an_unknown_kind_are_refused() -> None:
    class Scaled(torch.nn.Linear):
        """As FP8 modules are: the weight alone says nothing."""

    model = tiny_model("deepseek_v3")
    model.model.layers[0].self_attn.kv_b_proj.__class__ = Scaled
    with pytest.raises(Unsuited, match="Scaled"):
        take_over(model, 64)


def test_weights_on_several_devices_are_refused() -> None:
    model = tiny_model("deepseek_v3")
    model.model.layers[1].mlp.to("meta")
    with pytest.raises(Unsuited, match="several devices"):
        take_over(model, 64)


@pytest.mark.parametrize("arch", ["deepseek_v2", "deepseek_v3"])
def test_known_configurations_suit_before_anything_is_loaded(arch: str) -> None:
    assert suits(tiny_model(arch).config.to_dict())


@pytest.mark.parametrize(
    ("arch", "targets"),
    [
        ("deepseek_v2", ["q_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj"]),
        ("deepseek_v3", ["q_a_proj", "q_b_proj", "kv_b_proj"]),
        ("deepseek_v3", ["kv_b_proj", "o_proj", "lm_head"]),
    ],
)
def test_adapters_go_beside_absorbed_matrices_too(
    arch: str, targets: list[str], tmp_path: Path
) -> None:
    folders = [
        make_adapter(tmp_path / "a", arch=arch, seed=1, target_modules=targets),
        make_adapter(tmp_path / "b", arch=arch, seed=2, r=6, target_modules=targets[:3]),
    ]
    driver = Driver(tiny_model(arch))
    whose = [driver.runner.adapters.load(str(i), f) for i, f in enumerate(folders)] + [0]
    rows = [Row([5, 3]), Row([20, 21]), Row([2, 40])]
    for counts in ((5, 2, 3), (1, 1, 1)):
        news = [(row, tokens(n, n)) for row, n in zip(rows, counts, strict=True)]
        logits = driver.runner.forward(driver.batch(news, adapters=whose))
        oracle = torch.cat(
            [
                expected(folder, row, n, arch)
                for folder, row, n in zip([*folders, None], rows, counts, strict=True)
            ]
        )
        torch.testing.assert_close(logits, oracle, **TIGHT)


@pytest.mark.parametrize("bits", [4, 8])
def test_a_quantized_model_gives_nearly_the_logits_of_the_whole_one(
    bits: int, tmp_path: Path
) -> None:
    pytest.importorskip("bitsandbytes")
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    from tests.tiny_models import build_tiny
    from workers.train.quantization import hold_still

    sizes = {"hidden_size": 64, "intermediate_size": 128, "kv_lora_rank": 64, "v_head_dim": 16}
    folder = build_tiny(tmp_path / "m", "deepseek_v2", **sizes)
    config = BitsAndBytesConfig(
        load_in_4bit=bits == 4, load_in_8bit=bits == 8, bnb_4bit_quant_type="nf4"
    )
    model = AutoModelForCausalLM.from_pretrained(
        folder, quantization_config=config, dtype=torch.float32
    ).eval()
    hold_still(model)
    new = tokens(9)
    whole = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        # bitsandbytes' own 8-bit product fails on the 4-dimensional input of `kv_b_proj`.
        own = (model if bits == 4 else whole)(torch.tensor([new])).logits[0]
    driver = Driver(model)
    held = model.model.layers[0].self_attn.kv_b_proj
    assert (held.weight.dtype, held.weight.numel()) == (torch.float32, 64 * 4 * (8 + 16))
    assert getattr(getattr(held, "state", None), "CB", None) is None, (
        "few bits beside the wide ones"
    )
    made = driver.runner.forward(driver.batch([(Row([3, 7, 5]), new)]))
    apart = float((made - own).norm() / own.norm())
    assert apart < (1e-4 if bits == 4 else 0.05)
