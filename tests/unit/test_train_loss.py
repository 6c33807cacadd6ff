"""Loss and gradient of a step are those of one big batch; bad steps leave the weights alone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.config.train import LoraSpec, TrainSpec
from core.errors import ErrorCode, UsageError
from tests.tiny_models import ARCHITECTURES, build_tiny
from workers.train import model as loading
from workers.train.batches import IGNORED, Rows, make_batch, make_window
from workers.train.device import MemoryMeter, Place, choose_place, out_of_memory
from workers.train.encoding import Encoded
from workers.train.objective import Objective
from workers.train.optimizers import make_optimizer
from workers.train.random_state import seed_all
from workers.train.stepper import Stepper

CPU = Place("cpu", "fp32")
SPEC = TrainSpec(model="m", data="d", learning_rate=1e-2)


@pytest.fixture(autouse=True)
def fresh_accelerate() -> Iterator[None]:
    """accelerate keeps its state in the process; a worker has one life, a test session many."""
    from accelerate.state import AcceleratorState

    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {arch: build_tiny(root / arch, arch) for arch in ARCHITECTURES}


def load(folder: Path, place: Place = CPU, lora: LoraSpec | None = None) -> tuple[Any, Any]:
    info = loading.inspect(folder)
    base = loading.load_base(info, loading.load_tokenizer(info), place)
    seed_all(0)
    peft_model, _ = loading.add_adapter(base, lora or LoraSpec(target_modules=("all-linear",)))
    for name, parameter in peft_model.named_parameters():
        if "lora_B" in name:  # zero at birth: every gradient of lora_A would be zero too
            torch.nn.init.normal_(parameter, std=0.02)
    return base, peft_model


def rows_of(lengths: tuple[int, ...], prompt: int = 2) -> list[Encoded]:
    rng = np.random.default_rng(5)
    return [
        Encoded(rng.integers(3, 380, n).astype(np.int32), np.arange(n) >= prompt) for n in lengths
    ]


def make_stepper(base: Any, peft_model: Any, clip: float = 1e9) -> tuple[Stepper, Any]:
    accelerator = CPU.accelerator()
    optimizer = make_optimizer(peft_model, SPEC, CPU)
    prepared, wrapped = accelerator.prepare(peft_model, optimizer)
    objective = Objective(prepared, forward_of=base.model)
    return Stepper(accelerator, prepared, wrapped, objective, clip), objective


def gradients(peft_model: Any, objective: Objective, batches: Any, divisor: int) -> torch.Tensor:
    peft_model.zero_grad()
    for batch in batches:
        (objective.nll_sum(batch) / divisor).backward()
    return torch.cat([p.grad.flatten() for p in peft_model.parameters() if p.grad is not None])


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_accumulated_gradients_are_those_of_one_batch(folders: dict[str, Path], arch: str) -> None:
    base, peft_model = load(folders[arch])
    objective = Objective(peft_model, forward_of=base.model)
    window = make_window(rows_of((5, 80, 17, 40)), 1, 0)
    whole = make_window(rows_of((5, 80, 17, 40)), 4, 0)
    assert window.target_tokens == whole.target_tokens == 5 + 80 + 17 + 40 - 4 * 2
    accumulated = gradients(peft_model, objective, window.batches, window.target_tokens)
    together = gradients(peft_model, objective, whole.batches, whole.target_tokens)
    assert accumulated.norm() > 0
    assert (accumulated - together).norm() / together.norm() < 1e-5


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_the_loss_is_the_one_of_transformers_itself(folders: dict[str, Path], arch: str) -> None:
    """Padding, missing mask and logits of target positions alone change nothing."""
    base, peft_model = load(folders[arch])
    peft_model.eval()
    rows = rows_of((9, 30, 21), prompt=6)
    with torch.no_grad():
        total = Objective(peft_model, forward_of=base.model).nll_sum(make_batch(rows, 0))
        reference = 0.0
        for row in rows:
            ids = torch.from_numpy(row.ids.astype(np.int64))[None]
            labels = torch.where(torch.from_numpy(row.trained)[None], ids, IGNORED)
            output = peft_model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels)
            reference += float(output.loss) * row.target_tokens
    assert float(total) == pytest.approx(reference, rel=1e-5)


def test_a_model_that_cannot_select_positions_gives_the_same_loss(folders: dict[str, Path]) -> None:
    _, peft_model = load(folders["llama"])
    batch = make_batch(rows_of((9, 30)), 0)

    class Plain(torch.nn.Module):
        def forward(self, input_ids: Any, use_cache: bool) -> Any:
            return peft_model(input_ids=input_ids, use_cache=use_cache)

    selecting = Objective(peft_model, forward_of=peft_model.base_model.model)
    with torch.no_grad():
        plain, selected = Objective(Plain()).nll_sum(batch), selecting.nll_sum(batch)
    assert float(plain) == pytest.approx(float(selected))


def test_the_token_after_the_last_one_and_the_first_one_are_no_targets() -> None:
    row = Encoded(np.array([1, 5, 6], np.int32), np.array([True, True, True]))
    batch = make_batch([row, rows_of((6,))[0]], 0)
    assert (batch.targets[0] != IGNORED).sum() == row.target_tokens == 2


def test_a_step_counts_its_tokens_without_padding() -> None:
    window = make_window(rows_of((5, 80, 17)), 2, 0)
    assert window.tokens == 102
    assert [batch.input_ids.shape for batch in window.batches] == [(2, 80), (1, 5)]


def test_a_step_says_the_norm_before_clipping_and_lowers_the_loss(folders: dict[str, Path]) -> None:
    base, peft_model = load(folders["llama"])
    stepper, objective = make_stepper(base, peft_model, clip=1e-3)
    window = make_window(rows_of((30, 40)), 1, 0)
    expected = gradients(peft_model, objective, window.batches, window.target_tokens).norm()
    peft_model.zero_grad()
    first = stepper.step(window, 1e-2)
    assert first.grad_norm == pytest.approx(float(expected), rel=1e-4)
    assert first.grad_norm > 1e-3
    losses = [stepper.step(window, 1e-2).loss for _ in range(20)]
    assert losses[-1] < first.loss - 0.05


def test_after_the_first_step_every_adapter_has_moved(folders: dict[str, Path]) -> None:
    base, peft_model = load(folders["deepseek_v3"])
    before = {n: p.clone() for n, p in peft_model.named_parameters()}
    make_stepper(base, peft_model)[0].step(make_window(rows_of((30, 40)), 1, 0), 1e-2)
    for name, parameter in peft_model.named_parameters():
        assert torch.equal(parameter, before[name]) != parameter.requires_grad, name


def test_a_step_that_is_not_finite_leaves_the_weights_and_the_next_one_learns(
    folders: dict[str, Path],
) -> None:
    base, peft_model = load(folders["llama"])
    stepper, _ = make_stepper(base, peft_model)
    window = make_window(rows_of((20, 20, 20, 20)), 1, 0)
    embedding = base.model.get_input_embeddings().weight
    poisoned = int(window.batches[2].input_ids[0, 3])
    clean = embedding[poisoned].clone()
    before = [p.clone() for p in peft_model.parameters() if p.requires_grad]
    with torch.no_grad():
        embedding[poisoned] = math.nan
    bad = stepper.step(window, 1e-2)
    assert bad.skipped
    assert math.isnan(bad.loss)
    after = [p for p in peft_model.parameters() if p.requires_grad]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    with torch.no_grad():
        embedding[poisoned] = clean
    good = stepper.step(window, 1e-2)
    assert not good.skipped
    assert not any(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(torch.isfinite(p).all() for p in after)


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp16"])
def test_trained_weights_are_fp32_whatever_the_base_is(
    folders: dict[str, Path], dtype: Any
) -> None:
    base, peft_model = load(folders["llama"], Place("cpu", dtype))
    trained = [p for p in peft_model.parameters() if p.requires_grad]
    assert {p.dtype for p in trained} == {torch.float32}
    assert base.model.get_input_embeddings().weight.dtype == base.model.dtype == {
        "fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16
    }[dtype]  # fmt: skip


def test_bf16_trains_on_the_cpu_too(folders: dict[str, Path]) -> None:
    place = Place("cpu", "bf16")
    base, peft_model = load(folders["llama"], place)
    accelerator = place.accelerator()
    prepared, optimizer = accelerator.prepare(peft_model, make_optimizer(peft_model, SPEC, CPU))
    stepper = Stepper(
        accelerator, prepared, optimizer, Objective(prepared, forward_of=base.model), 1.0
    )
    window = make_window(rows_of((30, 40)), 1, 0)
    losses = [stepper.step(window, 1e-2).loss for _ in range(20)]
    assert losses[-1] < losses[0] - 0.05


def test_a_row_without_targets_is_dropped_and_counted() -> None:
    rows = Rows()
    rows.add(Encoded(np.array([1, 2], np.int32), np.array([False, True])))
    rows.add(Encoded(np.array([1, 2], np.int32), np.array([True, False])))
    assert (len(rows), rows.dropped) == (1, 1)


@pytest.mark.parametrize(
    ("arch", "expected"),
    [
        ("llama", "down_proj gate_proj k_proj o_proj q_proj up_proj v_proj"),
        ("qwen3", "down_proj gate_proj k_proj o_proj q_proj up_proj v_proj"),
        ("deepseek_v2", "kv_a_proj_with_mqa kv_b_proj o_proj q_proj"),
        ("deepseek_v3", "kv_a_proj_with_mqa kv_b_proj o_proj q_a_proj q_b_proj"),
    ],
)
def test_all_linear_means_what_can_be_adapted_but_no_router_and_no_head(
    folders: dict[str, Path], arch: str, expected: str
) -> None:
    _, peft_model = load(folders[arch])
    assert sorted(peft_model.peft_config["default"].target_modules) == expected.split()
    adapted = {n for n, _ in peft_model.named_parameters() if "lora_A" in n}
    assert not any(".gate.lora" in n or "lm_head" in n or "experts" in n for n in adapted)
    assert {n.split(".lora_A")[0].rpartition(".")[2] for n in adapted} == set(expected.split())


@pytest.mark.parametrize(
    ("arch", "names", "unknown"),
    [
        ("deepseek_v3", ("q_proj", "v_proj", "o_proj"), "q_proj, v_proj"),
        ("deepseek_v2", ("q_proj", "v_proj"), "v_proj"),
        ("deepseek_v3", ("gate_proj",), "gate_proj"),
        ("llama", ("proj",), "proj"),
        ("llama", ("lm_head",), "lm_head"),
    ],
)
def test_a_name_that_matches_nothing_is_refused_with_those_there_are(
    folders: dict[str, Path], arch: str, names: tuple[str, ...], unknown: str
) -> None:
    with pytest.raises(UsageError) as caught:
        load(folders[arch], lora=LoraSpec(target_modules=names))
    assert caught.value.code is ErrorCode.TRAIN_TARGETS_UNKNOWN
    assert caught.value.params["names"] == unknown
    assert "o_proj" in str(caught.value.params["available"])


def test_a_name_may_be_the_end_of_a_path(folders: dict[str, Path]) -> None:
    _, peft_model = load(folders["llama"], lora=LoraSpec(target_modules=("self_attn.q_proj",)))
    adapted = [n for n, _ in peft_model.named_parameters() if "lora_A" in n]
    assert len(adapted) == 2
    assert all("self_attn.q_proj" in n for n in adapted)


def test_a_tokenizer_with_more_tokens_than_rows_is_refused(folders: dict[str, Path]) -> None:
    base, _ = load(folders["llama"])
    loading.check_vocabulary(base, base.embedding_rows - 1)
    with pytest.raises(UsageError) as caught:
        loading.check_vocabulary(base, base.embedding_rows)
    assert caught.value.code is ErrorCode.MODEL_VOCABULARY_TOO_SMALL


def test_fp16_without_a_card_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        choose_place("cpu", "fp16")
    assert caught.value.params["field"] == "precision"


def test_auto_on_the_cpu_is_fp32() -> None:
    assert choose_place("cpu", "auto") == Place("cpu", "fp32")


def test_an_allocation_that_fails_becomes_an_error_with_numbers() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**55, dtype=torch.uint8)
    error = out_of_memory(caught.value, MemoryMeter("cpu"))
    assert error is not None
    assert error.code is ErrorCode.TRAIN_OUT_OF_MEMORY
    assert float(error.params["needed_gib"]) > 2**25
    assert 0 < float(error.params["free_gib"]) < 2**20


def test_a_card_out_of_memory_names_what_was_tried() -> None:
    e = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has ...")
    error = out_of_memory(e, MemoryMeter("cpu"))
    assert error is not None
    assert 20 < float(error.params["needed_gib"]) < 40


def test_other_errors_are_not_taken_for_memory() -> None:
    assert out_of_memory(RuntimeError("shape mismatch"), MemoryMeter("cpu")) is None
