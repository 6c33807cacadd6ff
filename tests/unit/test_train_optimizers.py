"""Optimizers by name; offloading their state changes where it lives and nothing else."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.config.train import TrainSpec
from core.errors import ErrorCode, UsageError
from workers.train import optimizers
from workers.train.device import Place
from workers.train.host_state import HostStateAdamW
from workers.train.tensor_files import write_tensors
from workers.train.trained_state import load_optimizer, load_weights, optimizer_tensors

CPU = Place("cpu", "fp32")
needs_bitsandbytes = pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed"
)


def spec(**values: Any) -> TrainSpec:
    return TrainSpec.parse({"model": "m", "data": "d", "learning_rate": 1e-2, **values})


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(64, 96), torch.nn.LayerNorm(96), torch.nn.Linear(96, 64)
    )


def learn(model: torch.nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
    for step in range(steps):
        generator = torch.Generator().manual_seed(step)
        model(torch.randn(8, 64, generator=generator)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("bucket_weights", [1, 7000, 10**9])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_an_offloaded_state_makes_the_same_update_bit_for_bit(
    bucket_weights: int, weight_decay: float
) -> None:
    plain, offloaded = network(), network()
    options = {"lr": 1e-2, "weight_decay": weight_decay}
    learn(plain, torch.optim.AdamW(plain.parameters(), **options), 5)
    host = HostStateAdamW(offloaded.parameters(), bucket_weights=bucket_weights, **options)
    learn(offloaded, host, 5)
    for a, b in zip(plain.parameters(), offloaded.parameters(), strict=True):
        assert torch.equal(a, b)
    assert len(host.param_groups[0]["params"]) == 6


def test_a_parameter_without_gradient_is_left_alone_by_the_offloaded_update() -> None:
    model = network()
    optimizer = HostStateAdamW(model.parameters(), lr=1e-2, weight_decay=0.1)
    before = model[0].weight.clone()
    model[2](torch.ones(1, 96)).sum().backward()
    optimizer.step()
    assert torch.equal(model[0].weight, before)
    assert model[0].weight not in optimizer.state


def test_the_rate_of_the_step_is_obeyed_when_the_state_is_offloaded() -> None:
    model = network()
    optimizer = HostStateAdamW(model.parameters(), lr=1.0)
    optimizer.param_groups[0]["lr"] = 0.0
    before = model[0].weight.clone()
    learn(model, optimizer, 1)
    assert torch.equal(model[0].weight, before)


def test_matrices_decay_and_vectors_do_not() -> None:
    groups = optimizers.make_optimizer(network(), spec(weight_decay=0.1), CPU).param_groups
    assert [(g["weight_decay"], {p.ndim for p in g["params"]}) for g in groups] == [
        (0.1, {2}),
        (0.0, {1}),
    ]


@needs_bitsandbytes
@pytest.mark.parametrize("optim", ["paged_adamw_32bit", "paged_adamw_8bit"])
def test_paged_states_are_refused_without_a_card(optim: str) -> None:
    with pytest.raises(UsageError) as caught:
        optimizers.make_optimizer(network(), spec(optim=optim), CPU)
    assert caught.value.code is ErrorCode.BAD_VALUE
    assert caught.value.params["field"] == "optim"


@needs_bitsandbytes
def test_states_in_8_bits_cannot_be_offloaded_as_well() -> None:
    with pytest.raises(UsageError) as caught:
        optimizers.check_optimizer(spec(optim="adamw_8bit", optimizer_offload=True), "cpu")
    assert caught.value.params["field"] == "optimizer_offload"


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from core.services.train_checks import package_problems
    from workers.train import quantization

    def nothing(_name: str) -> None:
        return None

    monkeypatch.setattr(quantization, "find_spec", nothing)
    monkeypatch.setattr("core.services.train_checks.find_spec", nothing)
    wanted = spec(optim="adamw_8bit", load_in_4bit=True)
    with pytest.raises(UsageError) as caught:
        optimizers.check_optimizer(wanted, "cpu")
    assert caught.value.code is ErrorCode.TRAIN_NEEDS_PACKAGE
    with pytest.raises(UsageError):
        quantization.quantization_config(wanted, torch.float32)
    (problem,) = package_problems(wanted)
    assert problem.params == {"package": "bitsandbytes", "feature": "load_in_4bit, adamw_8bit"}
    assert package_problems(spec()) == []


KINDS = {
    "plain": {},
    "offloaded": {"optimizer_offload": True},
    "adam8": {"optim": "adamw_8bit"},
}


@pytest.mark.parametrize(
    "kind", ["plain", "offloaded", pytest.param("adam8", marks=needs_bitsandbytes)]
)
def test_a_state_that_was_written_and_read_goes_on_bit_for_bit(tmp_path: Path, kind: str) -> None:
    whole, broken = network(), network()
    made = [optimizers.make_optimizer(m, spec(**KINDS[kind]), CPU) for m in (whole, broken)]
    learn(whole, made[0], 3)
    write_tensors(tmp_path / "o", optimizer_tensors(whole, made[0], copy=False))
    write_tensors(tmp_path / "w", dict(whole.named_parameters()))
    load_weights(broken, load_file(tmp_path / "w"))
    load_optimizer(broken, made[1], load_file(tmp_path / "o"))
    (tmp_path / "o").write_bytes(b"")  # what was read does not depend on the file any more
    for model, optimizer in zip((whole, broken), made, strict=True):
        learn(model, optimizer, 3)
    for a, b in zip(whole.parameters(), broken.parameters(), strict=True):
        assert torch.equal(a, b)


@needs_bitsandbytes
@pytest.mark.parametrize(("before", "after"), [("plain", "adam8"), ("adam8", "offloaded")])
def test_a_run_may_go_on_with_another_kind_of_states(before: str, after: str) -> None:
    """As the ladder does when memory runs out: the moments are carried over, not lost."""
    models = [network(), network(), network()]
    kinds = (before, after, after)
    made = [
        optimizers.make_optimizer(m, spec(**KINDS[k]), CPU)
        for m, k in zip(models, kinds, strict=True)
    ]
    learn(models[0], made[0], 6)
    for model in models[1:]:
        load_weights(model, {n: p.detach() for n, p in models[0].named_parameters()})
    load_optimizer(models[1], made[1], optimizer_tensors(models[0], made[0]))
    start = [p.detach().clone() for p in models[0].parameters()]
    for model, optimizer in zip(models, made, strict=True):
        learn(model, optimizer, 1)
    went = [
        torch.cat([(p - s).flatten() for p, s in zip(m.parameters(), start, strict=True)])
        for m in models
    ]
    carried, anew = ((went[0] - w).norm() / went[0].norm() for w in went[1:])
    assert carried < 0.1
    assert anew > 3 * carried


def test_a_state_of_another_model_is_refused_and_changes_nothing() -> None:
    model = network()
    optimizer = optimizers.make_optimizer(model, spec(), CPU)
    with pytest.raises(ValueError, match="no parameter"):
        load_optimizer(model, optimizer, {"exp_avg/other.weight": torch.ones(3)})
    weights = {n: p.detach().clone() for n, p in model.named_parameters()}
    weights["2.weight"] = torch.ones(2, 2)
    before = model[0].weight.clone()
    with pytest.raises(ValueError, match=r"2\.weight"):
        load_weights(model, weights)
    assert torch.equal(model[0].weight, before)


def test_files_that_are_written_tensor_by_tensor_are_the_library_s(tmp_path: Path) -> None:
    tensors = {
        "b": torch.randn(3, 5).bfloat16(),
        "a": torch.arange(7, dtype=torch.uint8),
        "scalar": torch.tensor(3),
        "empty": torch.zeros(0, 4),
        "half": torch.randn(2, 2).half(),
        "view": torch.randn(4, 6).t(),
        "flag": torch.tensor([True, False]),
    }
    write_tensors(tmp_path / "own", tensors)
    save_file({k: v.contiguous() for k, v in tensors.items()}, tmp_path / "theirs")
    own, theirs = load_file(tmp_path / "own"), load_file(tmp_path / "theirs")
    assert own.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert own[name].dtype == tensor.dtype
        assert torch.equal(own[name], tensor), name


def test_every_note_has_its_words_in_both_languages() -> None:
    import re

    from app.texts.train_notes import TRAIN_NOTES, train_note_text
    from core.protocol.events import Finding
    from workers.train import adapters, memory_options, model, quantization

    codes = {
        adapters.ADAPTER_KEPT_FP32,
        memory_options.OFFLOAD_NEEDS_CARD,
        memory_options.OFFLOAD_NEEDS_CHECKPOINTS,
        memory_options.NO_CHECKPOINTING,
        model.VOCABULARY_GREW,
        quantization.STAYED_WIDE,
    }
    assert codes <= TRAIN_NOTES.keys()
    for words in TRAIN_NOTES.values():
        en, zh = (set(re.findall(r"{(\w+)}", text)) for text in words)
        assert en == zh
        assert re.search("[\u4e00-\u9fff]", words.zh)
    note = Finding(code=model.VOCABULARY_GREW, params={"before": 3, "after": 5})
    assert "3" in train_note_text(note, "zh")
    assert train_note_text(Finding(code="new_one"), "en") == "new_one"
