"""The fast training step on an NVIDIA card: its kernels and layers against plain torch and PEFT."""

from __future__ import annotations

import copy
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no NVIDIA card"),
]

from workers.train.fast import cross_entropy, ops, support  # noqa: E402
from workers.train.fast.entry import accelerate  # noqa: E402

ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
DTYPES = [torch.float32, torch.bfloat16, torch.float16]
NEAR = {torch.float32: 1e-5, torch.bfloat16: 6e-3, torch.float16: 1e-3}


def far(a: Any, b: Any) -> float:
    return float((a.double() - b.double()).norm() / b.double().norm())


def noise(*shape: int, dtype: Any = torch.float32) -> Any:
    return torch.randn(*shape, device="cuda", dtype=dtype)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)
    assert support.kernels_run_on(torch.empty(0, device="cuda"))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("columns", [64, 128, 896, 4096, 5120])
def test_rms_norm_kernels(columns: int, dtype: Any) -> None:
    x, up, around = (noise(3, 77, columns, dtype=dtype) for _ in range(3))
    weight = noise(columns, dtype=dtype)
    normed, inverse = ops.rms_norm(x, weight, 1e-6)
    expected, expected_inverse = ops.reference_rms_norm(x, weight, 1e-6)
    assert far(normed, expected) < NEAR[dtype]
    assert far(inverse, expected_inverse) < 1e-5
    for residual in (None, around):
        ours = ops.rms_norm_backward(up, x, inverse, weight, residual)
        plain = ops.reference_rms_norm_backward(up, x, inverse, weight, residual)
        assert far(ours, plain) < NEAR[dtype]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("heads", "width"), [(32, 128), (2, 64), (14, 64), (5, 80)])
@pytest.mark.parametrize("angle_rows", [1, 3])
def test_rotation_kernel(angle_rows: int, heads: int, width: int, dtype: Any) -> None:
    x = noise(3, 33, heads, width, dtype=dtype)
    angles = noise(angle_rows, 33, width // 2).repeat(1, 1, 2)
    cos, sin = angles.cos().to(dtype), angles.sin().to(dtype)
    ours = ops.rotate_(x.clone(), cos, sin, 1.0)
    assert far(ours, ops.reference_rotate_(x.clone(), cos, sin, 1.0)) < NEAR[dtype]
    assert far(ops.rotate_(ours, cos, sin, -1.0), x) < 3 * NEAR[dtype]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("heads", "width", "rank"), [(32, 128, 16), (2, 64, 64), (5, 80, 32)])
def test_rotation_kernel_adds_an_adapters_part(
    heads: int, width: int, rank: int, dtype: Any
) -> None:
    x = noise(3, 33, heads, width, dtype=dtype)
    angles = noise(1, 33, width // 2).repeat(1, 1, 2)
    cos, sin = angles.cos().to(dtype), angles.sin().to(dtype)
    both = noise(99, 2 * rank, dtype=dtype)
    narrow, b = both[:, rank:], noise(heads * width, rank, dtype=dtype) / rank
    whole = x.double() + (narrow.double() @ b.double().t()).view_as(x)
    expected = ops.reference_rotate_(whole.float(), cos, sin, 1.0)
    assert far(ops.rotate_(x.clone(), cos, sin, 1.0, (narrow, b)), expected) < NEAR[dtype]


@pytest.mark.parametrize("dtype", DTYPES)
def test_swiglu_kernels(dtype: Any) -> None:
    gate, up, slope = (noise(301, 1027, dtype=dtype) for _ in range(3))
    assert far(ops.swiglu(gate, up), ops.reference_swiglu(gate, up)) < NEAR[dtype]
    ours = [t.clone() for t in (gate, up, slope)]
    plain = [t.clone() for t in (gate, up, slope)]
    ops.swiglu_backward_(*ours)
    ops.reference_swiglu_backward_(*plain)
    for a, b in zip(ours, plain, strict=True):
        assert far(a, b) < NEAR[dtype]


@pytest.mark.parametrize("dtype", DTYPES)
def test_cross_entropy_kernel(dtype: Any) -> None:
    logits = 3 * noise(65, 102_400, dtype=dtype)
    targets = torch.randint(0, 102_400, (65,), device="cuda")
    targets[::7] = cross_entropy.IGNORED
    ours, plain = logits.clone(), logits.clone()
    a = cross_entropy._nll_and_gradient(ours, targets, 1.0, True)
    b = cross_entropy.reference_nll_and_gradient(plain, targets, 1.0, True)
    assert far(a, b) < 1e-5
    assert far(ours, plain) < NEAR[dtype]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("double", [True, False])
def test_nf4_kernel_unpacks_what_bitsandbytes_packed(double: bool, dtype: Any) -> None:
    functional = pytest.importorskip("bitsandbytes.functional")
    from workers.train.fast.nf4 import unpack_nf4

    weight = noise(1024, 1376, dtype=dtype)
    packed, state = functional.quantize_4bit(weight, quant_type="nf4", compress_statistics=double)
    packed.quant_state = state
    plain = functional.dequantize_4bit(packed, state)
    assert (
        torch.equal(unpack_nf4(packed, dtype), plain)
        or far(unpack_nf4(packed, dtype), plain) < NEAR[dtype] / 4
    )


def model_of(arch: str, dtype: Any, targets: list[str]) -> Any:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from tests.tiny_models import tiny_config

    config = tiny_config(
        arch, vocab_size=2000, hidden_size=512, intermediate_size=1376, num_attention_heads=4,
        num_key_value_heads=2, head_dim=128,
    )  # fmt: skip
    base = AutoModelForCausalLM.from_config(config, dtype=dtype).cuda()
    base.requires_grad_(False)
    model = get_peft_model(base, LoraConfig(r=16, lora_alpha=32, target_modules=targets))
    for name, tensor in model.named_parameters():
        if "lora_B" in name:
            tensor.data.normal_(std=0.02)
        if tensor.requires_grad:
            tensor.data = tensor.data.float()
    return model.train()


def learn(
    model: Any, dtype: Any, scale: float = 1.0, **inputs: Any
) -> tuple[float, dict[str, Any]]:
    model.zero_grad()
    generator = torch.Generator().manual_seed(2)
    shape = inputs["position_ids"].shape if inputs else (2, 256)
    ids = torch.randint(3, 2000, shape, generator=generator).cuda()
    with torch.autocast("cuda", dtype=dtype, enabled=dtype != torch.float32):
        logits = model(input_ids=ids, use_cache=False, **inputs).logits.float()
    loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    (loss * scale).backward()
    return loss.item(), {n: p.grad.clone() for n, p in model.named_parameters() if p.requires_grad}


LENGTHS = (100, 3, 200, 209)


def flat_row(model: Any) -> dict[str, Any]:
    """Documents behind each other, as packed batches hand them to the model."""
    from workers.train import attention

    assert attention.install(model)
    bounds = torch.tensor([0, *LENGTHS], dtype=torch.int32, device="cuda").cumsum(0).int()
    places = torch.cat([torch.arange(n) for n in LENGTHS])[None].cuda()
    documents = {"cu_seq_lens_q": bounds, "cu_seq_lens_k": bounds}
    longest = {"max_length_q": max(LENGTHS), "max_length_k": max(LENGTHS)}
    return {"position_ids": places, **documents, **longest}


def worst(found: dict[str, Any], expected: dict[str, Any]) -> float:
    return max(far(found[name], gradient) for name, gradient in expected.items())


@pytest.mark.parametrize("recompute", ["none", "selective", "full"])
@pytest.mark.parametrize("arch", ["llama", "qwen2", "qwen3"])
@pytest.mark.parametrize("packed", [False, True])
def test_layers_learn_what_plain_peft_learns(packed: bool, arch: str, recompute: Any) -> None:
    """bf16: as near to fp32 as plain PEFT is, and near plain PEFT itself."""
    plain = model_of(arch, torch.bfloat16, ALL)
    fast, exact = copy.deepcopy(plain), copy.deepcopy(plain).float()
    assert accelerate(fast, recompute=recompute).fast_layers == 2
    loss, expected = learn(
        plain, torch.bfloat16, **(flat_row(plain.base_model.model) if packed else {})
    )
    ours, found = learn(fast, torch.bfloat16, **(flat_row(fast.base_model.model) if packed else {}))
    _, truth = learn(exact, torch.float32, **(flat_row(exact.base_model.model) if packed else {}))
    assert ours == pytest.approx(loss, rel=2e-3)
    assert worst(found, expected) < 3e-2
    assert worst(found, truth) < 1.2 * worst(expected, truth)


@pytest.mark.parametrize("recompute", ["none", "selective", "full"])
@pytest.mark.parametrize("arch", ["llama", "qwen2", "qwen3"])
def test_fp32_layers_are_those_of_plain_peft(arch: str, recompute: Any) -> None:
    plain = model_of(arch, torch.float32, ALL)
    fast = copy.deepcopy(plain)
    assert accelerate(fast, recompute=recompute).fast_layers == 2
    loss, expected = learn(plain, torch.float32)
    ours, found = learn(fast, torch.float32)
    assert ours == pytest.approx(loss, rel=1e-5)
    assert worst(found, expected) < 1e-4


def test_fp16_with_a_loss_scale_stays_finite_and_near() -> None:
    plain = model_of("llama", torch.float16, ALL)
    fast = copy.deepcopy(plain)
    accelerate(fast, recompute="full")
    _, expected = learn(plain, torch.float16, scale=2.0**12)
    _, found = learn(fast, torch.float16, scale=2.0**12)
    assert worst(found, expected) < 1e-2


def test_a_large_batch_is_taken_in_pieces_without_a_difference(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = model_of("llama", torch.bfloat16, ALL)
    accelerate(model, recompute="full")
    _, whole = learn(model, torch.bfloat16)
    monkeypatch.setattr("workers.train.fast.layer.PIECE_TOKENS", 256)
    monkeypatch.setattr("workers.train.fast.mlp_half.PIECE_TOKENS", 100)
    _, pieces = learn(model, torch.bfloat16)
    assert worst(pieces, whole) < 1e-2


def test_a_4_bit_base_learns_what_plain_peft_learns() -> None:
    pytest.importorskip("bitsandbytes")
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from benchmarks.train_models import quantize_
    from tests.tiny_models import tiny_config

    config = tiny_config("llama", hidden_size=256, intermediate_size=512, num_attention_heads=4,
                         num_key_value_heads=2)  # fmt: skip
    base = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).cuda()
    base.config.vocab_size = 400
    quantize_(base.requires_grad_(False))
    plain = get_peft_model(base, LoraConfig(r=8, target_modules=ALL)).train()
    for name, tensor in plain.named_parameters():
        if "lora" in name:
            tensor.data = tensor.data.float()
        if "lora_B" in name:
            tensor.data.normal_(std=0.02)
    ids = torch.randint(3, 400, (2, 128), device="cuda")

    def once() -> dict[str, Any]:
        plain.zero_grad()
        with torch.autocast("cuda", dtype=torch.bfloat16):
            plain(input_ids=ids, labels=ids, use_cache=False).loss.backward()
        return {n: p.grad.clone() for n, p in plain.named_parameters() if p.requires_grad}

    expected = once()
    report = accelerate(plain, recompute="full")
    assert report.fast_layers == 2, str(report)
    found = once()
    for name, gradient in expected.items():
        assert far(found[name], gradient) < 3e-2, name


def test_a_machine_where_triton_cannot_launch_trains_without_kernels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("Failed to find C compiler")

    monkeypatch.setattr("workers.train.fast.kernels.swiglu.swiglu", broken)
    support._why_not_on.cache_clear()
    try:
        report = accelerate(model_of("llama", torch.bfloat16, ALL))
        assert report.reasons == {("card", "Failed to find C compiler"): 2}
        hidden, head = noise(9, 64).requires_grad_(), noise(300, 64)
        targets = torch.arange(9, device="cuda")
        cross_entropy.linear_nll_sum(hidden, head, targets).backward()
        assert torch.isfinite(hidden.grad).all()
    finally:
        support._why_not_on.cache_clear()
