"""Fast decoder layers compute what transformers' and PEFT's plain ones do."""

from __future__ import annotations

import copy
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from tests.tiny_models import tiny_config  # noqa: E402
from workers.train.fast.entry import accelerate  # noqa: E402

ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
SOME = ["q_proj", "v_proj"]
ARCHITECTURES = ["llama", "qwen2", "qwen3"]


def model_of(arch: str, targets: list[str], dtype: Any = None, **lora: Any) -> Any:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_config(tiny_config(arch), dtype=dtype or torch.float32)
    base.requires_grad_(False)
    with torch.no_grad():  # norms of ones and biases of zero would hide mistakes
        for name, tensor in base.named_parameters():
            if "norm" in name or "bias" in name:
                tensor.add_(torch.randn_like(tensor) * 0.3)
            elif "proj" in name:
                tensor.mul_(8)
    model = get_peft_model(base, LoraConfig(r=4, lora_alpha=6, target_modules=targets, **lora))
    for name, tensor in model.named_parameters():
        if "lora_B" in name:
            tensor.data.normal_(std=0.3)
        if tensor.requires_grad:
            tensor.data = tensor.data.float()
    return model.train()


def gradients(model: Any, **inputs: Any) -> tuple[Any, dict[str, Any]]:
    model.zero_grad()
    torch.manual_seed(1)
    ids = torch.randint(3, 400, (2, 19))
    logits = model(input_ids=ids, use_cache=False, **inputs).logits.float()
    loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    loss.backward()
    found = {n: p.grad.clone() for n, p in model.named_parameters() if p.requires_grad}
    return logits.detach(), found


def compare(plain: Any, fast: Any, near: float, **inputs: Any) -> None:
    logits, expected = gradients(plain, **inputs)
    ours, found = gradients(fast, **inputs)
    assert (ours - logits).norm() <= near * logits.norm()
    assert expected.keys() == found.keys()
    for name, gradient in expected.items():
        assert gradient.norm() > 0, name
        assert (found[name] - gradient).norm() <= near * gradient.norm(), name


def pair(arch: str, targets: list[str], recompute: Any, **options: Any) -> tuple[Any, Any]:
    plain = model_of(arch, targets, **options)
    fast = copy.deepcopy(plain)
    report = accelerate(fast, recompute=recompute, without_kernels=True)
    assert (report.fast_layers, report.layers, report.reasons) == (2, 2, {})
    return plain, fast


@pytest.mark.parametrize("recompute", ["none", "selective", "full"])
@pytest.mark.parametrize("targets", [ALL, SOME, ["down_proj"], ["o_proj", "up_proj"]])
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_outputs_and_gradients_are_those_of_the_plain_path(
    arch: str, targets: list[str], recompute: str
) -> None:
    compare(*pair(arch, targets, recompute), near=2e-5)


@pytest.mark.parametrize("recompute", ["none", "full"])
def test_bf16_with_autocast_stays_near_the_plain_path(recompute: str) -> None:
    plain, fast = pair("llama", ALL, recompute, dtype=torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        compare(plain, fast, near=4e-2)
