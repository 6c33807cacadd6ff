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


def distance(a: dict[str, Any], b: dict[str, Any]) -> float:
    return max(float((a[n].double() - b[n].double()).norm() / b[n].double().norm()) for n in b)


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("recompute", ["none", "full"])
def test_bf16_is_no_further_from_the_truth_than_the_plain_path(arch: str, recompute: str) -> None:
    plain, fast = pair(arch, ALL, recompute, dtype=torch.bfloat16)
    logits, truth = gradients(copy.deepcopy(plain).float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        plain_logits, expected = gradients(plain)
        fast_logits, found = gradients(fast)
    assert (fast_logits - logits).norm() <= 1.2 * (plain_logits - logits).norm()
    assert distance(found, truth) <= 1.2 * distance(expected, truth)


@pytest.mark.parametrize("recompute", ["none", "selective", "full"])
def test_packed_documents_stay_apart(recompute: str) -> None:
    places = torch.cat([torch.arange(n) for n in (5, 1, 13)])[None].repeat(2, 1)
    compare(*pair("llama", ALL, recompute), near=2e-5, position_ids=places)


@pytest.mark.parametrize("recompute", ["none", "selective", "full"])
def test_flat_rows_of_documents_take_the_packed_attention(recompute: str) -> None:
    from workers.train import attention

    plain, fast = pair("llama", ALL, recompute)
    for model in (plain, fast):
        assert attention.install(model.base_model.model)
    torch.manual_seed(1)
    ids = torch.randint(3, 400, (1, 19))
    bounds = torch.tensor([0, 5, 6, 19], dtype=torch.int32)
    places = torch.cat([torch.arange(n) for n in (5, 1, 13)])[None]
    inputs = {"position_ids": places, "cu_seq_lens_q": bounds, "cu_seq_lens_k": bounds}
    logits = [
        m(input_ids=ids, use_cache=False, max_length_q=13, max_length_k=13, **inputs).logits
        for m in (plain, fast)
    ]
    assert torch.allclose(*logits, rtol=1e-4, atol=1e-5)
    for each in logits:
        each.square().sum().backward()
    for a, b in zip(plain.parameters(), fast.parameters(), strict=True):
        assert a.grad is None or torch.allclose(a.grad, b.grad, rtol=1e-3, atol=1e-4)


def test_bf16_adapters_get_bf16_gradients() -> None:
    plain, fast = pair("llama", ALL, "full", dtype=torch.bfloat16)
    for model in (plain, fast):
        for tensor in model.parameters():
            tensor.data = tensor.data.to(torch.bfloat16)
    _, expected = gradients(plain)
    _, found = gradients(fast)
    assert {g.dtype for g in found.values()} == {torch.bfloat16}
    assert distance(found, expected) < 0.1


@pytest.mark.parametrize("recompute", ["none", "full"])
def test_a_padding_mask_reaches_the_attention(recompute: str) -> None:
    mask = torch.ones(2, 19, dtype=torch.int64)
    mask[1, :4] = 0
    compare(*pair("qwen2", ALL, recompute), near=2e-5, attention_mask=mask)


@pytest.mark.parametrize("recompute", ["selective", "full"])
def test_pieces_of_a_large_batch_add_up(recompute: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.train.fast.layer.PIECE_TOKENS", 19)
    monkeypatch.setattr("workers.train.fast.mlp_half.PIECE_TOKENS", 7)
    compare(*pair("llama", ALL, recompute), near=2e-5)


def test_eager_attention_is_asked_where_the_config_names_it() -> None:
    plain, fast = pair("llama", ALL, "none")
    for model in (plain, fast):
        model.base_model.model.set_attn_implementation("eager")
    compare(plain, fast, near=2e-5)


def test_a_scale_of_rslora_is_kept() -> None:
    compare(*pair("llama", ALL, "full", use_rslora=True), near=2e-5)


def refused(**lora: Any) -> dict[tuple[str, str], int]:
    model = model_of("llama", ALL, **lora)
    plain = copy.deepcopy(model)
    report = accelerate(model, without_kernels=True)
    assert not report.switched_on
    torch.manual_seed(3)
    _, expected = gradients(plain)
    torch.manual_seed(3)
    _, found = gradients(model)
    assert all(torch.equal(found[n], expected[n]) for n in expected)
    return report.reasons


def test_dropout_keeps_the_plain_path() -> None:
    assert refused(lora_dropout=0.1) == {("adapter", "dropout"): 2}


def test_dora_keeps_the_plain_path() -> None:
    assert refused(use_dora=True) == {("adapter", "DoRA"): 2}


def test_adapters_with_a_bias_keep_the_plain_path() -> None:
    assert refused(lora_bias=True) == {("adapter", "bias"): 2}


def test_trained_base_weights_keep_the_plain_path() -> None:
    model = model_of("llama", SOME)
    model.base_model.model.model.layers[0].mlp.up_proj.weight.requires_grad_()
    report = accelerate(model, without_kernels=True)
    assert (report.fast_layers, report.reasons) == (1, {("weights", "trained"): 1})


@pytest.mark.parametrize("arch", ["deepseek_v2", "deepseek_v3"])
def test_other_architectures_are_left_alone_and_said(arch: str) -> None:
    model = model_of(arch, ["o_proj"])
    report = accelerate(model, without_kernels=True)
    assert (report.fast_layers, report.layers) == (0, 2)
    assert next(iter(report.reasons))[0] == "architecture"


def test_without_a_card_nothing_changes() -> None:
    report = accelerate(model_of("llama", SOME))
    assert report.fast_layers == 0
    ((part, what),) = report.reasons
    assert part == "card"
    assert what in ("no card", "no triton")


def test_switched_off_adapters_are_off() -> None:
    plain, fast = pair("llama", ALL, "none")
    ids = torch.randint(3, 400, (1, 9))
    with plain.disable_adapter(), fast.disable_adapter(), torch.no_grad():
        expected, found = (m(input_ids=ids, use_cache=False).logits for m in (plain, fast))
    assert torch.equal(expected, found)
    with torch.no_grad():
        assert not torch.allclose(fast(input_ids=ids, use_cache=False).logits, found)


@pytest.mark.parametrize("leave", ["merge_and_unload", "unload"])
def test_merging_or_removing_the_adapter_takes_effect(leave: str) -> None:
    plain, fast = (getattr(m, leave)() for m in pair("llama", ALL, "none"))
    ids = torch.randint(3, 400, (1, 9))
    with torch.no_grad():
        assert torch.equal(plain(input_ids=ids).logits, fast(input_ids=ids).logits)


def test_generation_with_a_cache_takes_the_plain_path() -> None:
    plain, fast = (m.eval() for m in pair("llama", ALL, "full"))
    ids = torch.randint(3, 400, (1, 5))
    answers = [m.generate(input_ids=ids, max_new_tokens=6, do_sample=False) for m in (plain, fast)]
    assert torch.equal(*answers)


def test_gradient_checkpointing_of_the_plain_model_becomes_recomputation() -> None:
    model = model_of("llama", ALL)
    plain = copy.deepcopy(model)
    model.gradient_checkpointing_enable({"use_reentrant": False})
    accelerate(model, without_kernels=True)
    layer = model.base_model.model.model.layers[0]
    assert layer.forward._fast.recompute == "full"
    compare(plain, model, near=2e-5)


def test_restore_gives_the_plain_model_back() -> None:
    from workers.train.fast.entry import restore

    plain, fast = pair("llama", ALL, "full")
    restore(fast)
    assert all("forward" not in m.__dict__ for m in fast.modules())
    _, expected = gradients(plain)
    _, found = gradients(fast)
    assert all(torch.equal(found[n], expected[n]) for n in expected)


def test_a_second_backward_pass_is_refused_not_wrong() -> None:
    _, fast = pair("llama", ALL, "none")
    loss = fast(input_ids=torch.randint(3, 400, (1, 9)), use_cache=False).logits.sum()
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_evaluation_keeps_no_graph() -> None:
    plain, fast = pair("qwen3", ALL, "full")
    ids = torch.randint(3, 400, (2, 9))
    with torch.no_grad():
        expected, found = (m.eval()(input_ids=ids, use_cache=False).logits for m in (plain, fast))
    assert found.grad_fn is None
    assert torch.allclose(expected, found, rtol=1e-4, atol=1e-4)


def test_names_and_tensors_of_the_checkpoint_stay_what_they_were() -> None:
    plain, fast = pair("llama", ALL, "full")
    assert list(plain.state_dict()) == list(fast.state_dict())


def test_what_is_kept_for_the_backward_pass_shrinks_with_recomputation() -> None:
    def kept(recompute: str) -> int:
        _, fast = pair("llama", ALL, recompute)
        sizes: dict[int, int] = {}

        def note(t: Any) -> Any:
            sizes[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
            return t

        with torch.autograd.graph.saved_tensors_hooks(note, lambda t: t):
            fast(input_ids=torch.randint(3, 400, (2, 64)), use_cache=False)
        return sum(sizes.values())

    none, selective, full = (kept(r) for r in ("none", "selective", "full"))
    assert full < selective < none
