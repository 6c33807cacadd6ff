"""The planner's formulas against the tensors that transformers and our own layers really keep."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from core.planning import memory  # noqa: E402
from core.planning.activations import (  # noqa: E402
    Style,
    full_bytes,
    kept_bytes,
    packed_bytes,
    selective_bytes,
    transient_bytes,
)
from core.planning.shapes import shape_of  # noqa: E402
from tests.tiny_models import tiny_config  # noqa: E402
from workers.train.fast.cross_entropy import CHUNK_TOKENS  # noqa: E402
from workers.train.fast.entry import accelerate  # noqa: E402
from workers.train.fast.mlp_half import PIECE_TOKENS  # noqa: E402
from workers.train.memory_options import checkpoint_layers  # noqa: E402
from workers.train.meta_peak import LiveStorages, kept_for_backward, peak_of  # noqa: E402

TOKENS = 96
WIDE = {
    "hidden_size": 128, "intermediate_size": 352, "num_attention_heads": 4, "vocab_size": 64,
    "max_position_embeddings": 256,
}  # fmt: skip
MIDDLE = {
    "hidden_size": 256, "intermediate_size": 688, "num_attention_heads": 4, "vocab_size": 64,
    "num_key_value_heads": 4, "max_position_embeddings": 256,
}  # fmt: skip
"""A third of the small model of tests/gpu/test_train_memory_gpu.py, in its proportions."""
# One head width throughout: with two the processor, unlike a card, keeps whole score matrices.
MLA = {
    "kv_lora_rank": 64, "qk_nope_head_dim": 32, "qk_rope_head_dim": 16, "v_head_dim": 48,
    "moe_intermediate_size": 64, "n_routed_experts": 4, "num_experts_per_tok": 2,
}  # fmt: skip


def kept(arch: str, layers: int, *, style: Style, targets: Any, **changes: Any) -> int:
    """Bytes that a model of so many layers keeps for one row."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    config = tiny_config(arch, num_hidden_layers=layers, **WIDE, **changes)
    # As the worker: full fine-tuning keeps fp32 weights under autocast.
    wide = style.full or not style.autocast
    torch.manual_seed(0)
    model: Any = AutoModelForCausalLM.from_config(
        config, dtype=torch.float32 if wide else torch.bfloat16
    )
    inside = model
    if not style.full:
        model.requires_grad_(False)
        lora = LoraConfig(r=style.rank, target_modules=list(targets), lora_dropout=0.0)
        model = get_peft_model(model, lora)
        for p in model.parameters():
            if p.requires_grad:
                p.data = p.data.to(torch.float32 if style.adapter_bytes == 4 else torch.bfloat16)
    if changes.get("checkpointing") is None and style.kernels == "fast":
        report = accelerate(model, recompute="none", without_kernels=True)
        assert report.fast_layers == layers, str(report)
    model.train()
    ids = torch.randint(0, 64, (1, TOKENS))

    def forward() -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=style.autocast):
            states = (inside.model if style.full else model.base_model.model.model)(
                input_ids=ids, use_cache=False
            )
            return states.last_hidden_state.float().sum()

    _, size = kept_for_backward(forward, [*model.parameters(), *model.buffers()])
    return size


def a_layer(arch: str, *, style: Style, targets: Any, **changes: Any) -> tuple[float, float]:
    """Bytes of two more layers: kept in the code, and by the formula."""
    code, formula = [], []
    for layers in (2, 4):
        config = tiny_config(arch, num_hidden_layers=layers, **WIDE, **changes)
        shape = shape_of(config.to_dict())
        assert shape is not None
        code.append(kept(arch, layers, style=style, targets=targets, **changes))
        each = kept_bytes(shape, shape.targets(tuple(targets)), style) * TOKENS
        trained = sum(
            t.count * style.rank * (t.inputs + t.outputs) for t in shape.targets(tuple(targets))
        )
        formula.append(each * layers + _cast_weights(shape, style) + packed_bytes(trained, style))
    return code[1] - code[0], formula[1] - formula[0]


def _cast_weights(shape: Any, style: Style) -> int:
    """Autocast keeps 16-bit copies of fp32 weights; the planner counts them as weights."""
    return shape.linear_weights * 2 if style.full and style.autocast else 0


TWO, ALL = ("q_proj", "v_proj"), ("all-linear",)
MLA_ALL = ("q_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj")
SEVEN = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@pytest.mark.parametrize("arch", ["llama", "qwen2", "qwen3"])
@pytest.mark.parametrize(
    ("targets", "style"),
    [
        (TWO, Style(rank=4)),
        (SEVEN, Style(rank=4)),
        (SEVEN, Style(rank=4, adapter_bytes=2)),
        (SEVEN, Style(rank=4, element=4, autocast=False)),
        ((), Style(full=True)),
        ((), Style(full=True, element=4, autocast=False)),
    ],
    ids=["q,v", "all", "all bf16", "all fp32", "full", "full fp32"],
)
@pytest.mark.parametrize("kv_heads", [4, 1])
def test_plain_layers_keep_what_the_formula_says(
    arch: str, targets: tuple[str, ...], style: Style, kv_heads: int
) -> None:
    code, formula = a_layer(arch, style=style, targets=targets, num_key_value_heads=kv_heads)
    assert formula == pytest.approx(code, rel=0.06)


@pytest.mark.parametrize("arch", ["llama", "qwen2", "qwen3"])
@pytest.mark.parametrize("targets", [TWO, SEVEN])
def test_fast_layers_keep_what_the_formula_says(arch: str, targets: tuple[str, ...]) -> None:
    style = Style(kernels="fast", rank=4)
    code, formula = a_layer(arch, style=style, targets=targets, num_key_value_heads=2)
    assert formula == pytest.approx(code, rel=0.06)


@pytest.mark.parametrize(("arch", "rank"), [("deepseek_v2", None), ("deepseek_v3", 48)])
def test_latent_attention_and_experts_keep_what_the_formula_says(
    arch: str, rank: int | None
) -> None:
    targets = MLA_ALL if rank is None else ("kv_a_proj_with_mqa", "kv_b_proj", "o_proj")
    code, formula = a_layer(
        arch, style=Style(rank=4), targets=targets, num_key_value_heads=4, q_lora_rank=rank, **MLA
    )
    # Experts are looped over here and grouped on a card: how much is copied differs.
    assert formula == pytest.approx(code, rel=0.2)


def test_selective_recomputation_keeps_what_the_formula_says() -> None:
    from transformers import AutoModelForCausalLM

    sizes = []
    for layers in (2, 4):
        config = tiny_config("llama", num_hidden_layers=layers, num_key_value_heads=4, **WIDE)
        model: Any = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
        model.requires_grad_(False)
        model.train()
        checkpoint_layers(model, selective=True)
        states = torch.zeros(1, TOKENS, config.hidden_size, dtype=torch.bfloat16)
        states.requires_grad_(True)
        with LiveStorages() as live:
            result = model.model(inputs_embeds=states, use_cache=False).last_hidden_state
            sizes.append(live.now_bytes)
        del result
    shape = shape_of(config.to_dict())
    assert shape is not None
    formula = selective_bytes(shape, (), Style(rank=4)) * TOKENS
    assert formula == pytest.approx((sizes[1] - sizes[0]) / 2, rel=0.15)


def peak_of_a_pass(targets: tuple[str, ...], adapter_bytes: int, *, selective: bool) -> int:
    """Most bytes that a backward pass through three recomputed plain layers holds at once."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    config = tiny_config("llama", num_hidden_layers=3, **MIDDLE)
    inside: Any = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    inside.requires_grad_(False)
    model: Any = get_peft_model(inside, LoraConfig(r=4, target_modules=list(targets)))
    for p in model.parameters():
        if p.requires_grad:
            p.data = p.data.to(torch.float32 if adapter_bytes == 4 else torch.bfloat16)
    checkpoint_layers(inside, selective=selective)
    model.train()
    with LiveStorages() as live:
        with torch.autocast("cpu", torch.bfloat16):
            ids = torch.zeros(4, TOKENS, dtype=torch.int64)
            states = inside.model(input_ids=ids, use_cache=False).last_hidden_state
        live.peak_bytes = live.now_bytes
        states.backward(torch.ones_like(states))
    return live.peak_bytes


@pytest.mark.parametrize("selective", [True, False], ids=["selective", "full"])
@pytest.mark.parametrize(
    ("targets", "adapter_bytes"), [(TWO, 4), (SEVEN, 4), (SEVEN, 2)], ids=["q,v", "all", "all bf16"]
)
def test_a_backward_pass_through_recomputed_layers_peaks_where_the_formula_says(
    targets: tuple[str, ...], adapter_bytes: int, selective: bool
) -> None:
    shape = shape_of(tiny_config("llama", num_hidden_layers=3, **MIDDLE).to_dict())
    assert shape is not None
    chosen = shape.targets(targets)
    style = Style(rank=4, adapter_bytes=adapter_bytes)
    layer = kept_bytes(shape, chosen, style)
    kept = selective_bytes(shape, chosen, style) if selective else full_bytes(shape, style)
    back = transient_bytes(shape, chosen, style, "selective" if selective else "full")
    ends = shape.hidden * (4 + 2 * style.element)
    a_token = 3 * kept + (layer - kept if selective else layer) + back + ends
    measured = peak_of_a_pass(targets, adapter_bytes, selective=selective)
    assert 4 * TOKENS * a_token == pytest.approx(measured, rel=0.12)


def test_the_planner_knows_how_the_layers_and_the_loss_are_cut() -> None:
    assert memory.PIECE_TOKENS == PIECE_TOKENS
    assert memory.CHUNK_TOKENS == CHUNK_TOKENS


def test_the_counter_sees_the_peak_without_any_memory() -> None:
    def work() -> None:
        a = torch.empty(1 << 40, device="meta", dtype=torch.uint8)
        b = torch.empty(1 << 39, device="meta", dtype=torch.uint8)
        del a
        c = torch.empty(1 << 39, device="meta", dtype=torch.uint8)
        del b, c

    assert peak_of(work) == (1 << 40) + (1 << 39)


def test_views_are_counted_once() -> None:
    with LiveStorages() as live:
        a = torch.zeros(1000)
        views = [a[:10], a.view(10, 100), a.t()]
        assert live.now_bytes == 4000
        del a, views
    assert live.now_bytes == 0
