"""The loss of a step is the mean over its target tokens, however they are dealt to micro-batches,
and however the logits are made.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.tiny_models import ARCHITECTURES, VOCABULARY, build_tiny
from workers.train import attention
from workers.train.batches import IGNORED, make_batch, make_window
from workers.train.encoding import Encoded
from workers.train.objective import Objective

LENGTHS = (5, 200, 17, 90)
"""With these the mean of means points elsewhere: its cosine to the right gradient was 0.4."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {arch: build_tiny(root / arch, arch) for arch in ARCHITECTURES}


def load(folder: Path, *, dtype: torch.dtype = torch.float32, varlen: bool = True) -> Any:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).train()
    if varlen:
        assert attention.install(model)
    return model


def rows_of(lengths: tuple[int, ...] = LENGTHS, untrained: int = 2) -> list[Encoded]:
    rng = np.random.default_rng(5)
    return [
        Encoded(rng.integers(3, 380, n).astype(np.int32), np.arange(n) >= untrained)
        for n in lengths
    ]


def learned(model: Any, window: Any, *, chunked: bool = True) -> tuple[float, torch.Tensor]:
    """Loss and gradient of a window as a step takes them."""
    model.zero_grad()
    objective = Objective(model, chunked=chunked)
    total = 0.0
    for batch in window.batches:
        nll: Any = objective.nll_sum(batch)
        (nll / window.target_tokens).backward()
        total += float(nll.detach())
    grads = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
    return total / window.target_tokens, torch.cat(grads)


def apart(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).norm() / other.norm())


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_four_micro_batches_of_unequal_samples_learn_what_one_batch_of_four_learns(
    folders: dict[str, Path], arch: str, flat: bool
) -> None:
    """https://github.com/huggingface/transformers/pull/34191,
    https://github.com/huggingface/transformers/pull/35438,
    https://github.com/unslothai/unsloth-zoo/pull/1023
    """
    model = load(folders[arch])
    loss, gradient = learned(model, make_window(rows_of(), 1, 0, flat=flat))
    whole_loss, whole = learned(model, make_window(rows_of(), 4, 0, flat=flat))
    assert loss == pytest.approx(whole_loss, rel=1e-5)
    assert apart(gradient, whole) < 1e-5


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_never_holding_the_logits_changes_nothing(folders: dict[str, Path], arch: str) -> None:
    model = load(folders[arch])
    window = make_window(rows_of(), 2, 0, flat=True)
    plain_loss, plain = learned(model, window, chunked=False)
    loss, gradient = learned(model, window)
    assert loss == pytest.approx(plain_loss, rel=1e-6)
    assert apart(gradient, plain) < 1e-5


@pytest.mark.parametrize("chunked", [False, True])
def test_padding_and_no_padding_are_one(folders: dict[str, Path], chunked: bool) -> None:
    model = load(folders["llama"])
    padded = learned(model, make_window(rows_of(), 4, 0), chunked=chunked)
    flat = learned(model, make_window(rows_of(), 4, 0, flat=True), chunked=chunked)
    assert flat[0] == pytest.approx(padded[0], rel=1e-6)
    assert apart(flat[1], padded[1]) < 1e-5


def test_bf16_stays_near_fp32(folders: dict[str, Path]) -> None:
    window = make_window(rows_of(), 2, 0, flat=True)
    exact, wanted = learned(load(folders["llama"]), window)
    for chunked in (False, True):
        loss, made = learned(load(folders["llama"], dtype=torch.bfloat16), window, chunked=chunked)
        assert loss == pytest.approx(exact, rel=2e-3)
        assert apart(made.float(), wanted) < 0.03


def test_autocast_reaches_the_head(folders: dict[str, Path]) -> None:
    model = load(folders["llama"])
    window = make_window(rows_of(), 2, 0, flat=True)
    exact, wanted = learned(model, window)
    with torch.autocast("cpu", torch.bfloat16):
        loss, made = learned(model, window)
    assert loss == pytest.approx(exact, rel=2e-3)
    assert 0 < apart(made, wanted) < 0.03


def test_tied_weights_learn_from_both_ends(tmp_path: Path) -> None:
    model = load(build_tiny(tmp_path, "llama", tie_word_embeddings=True))
    window = make_window(rows_of(), 2, 0, flat=True)
    plain, chunked = (learned(model, window, chunked=c)[1] for c in (False, True))
    assert apart(chunked, plain) < 1e-5


def test_logits_of_targets_alone_exist_and_never_all_at_once(folders: dict[str, Path]) -> None:
    """The head is asked for target positions, and nothing of the vocabulary's width comes out."""
    model = load(folders["llama"])
    batch = make_batch(rows_of((40, 40), untrained=30), 0)
    shapes: list[tuple[int, ...]] = []
    model.lm_head.register_forward_hook(
        lambda _m, inputs, output: shapes.extend([inputs[0].shape, output.shape])
    )
    Objective(model).nll_sum(batch)
    assert shapes == [(2, 10, 32), ()]
    shapes.clear()
    Objective(model, chunked=False).nll_sum(batch)
    assert shapes == [(2, 10, 32), (2, 10, VOCABULARY)]


def test_the_head_is_itself_again_behind_a_loss(folders: dict[str, Path]) -> None:
    model = load(folders["llama"])
    batch = make_batch(rows_of((40,)), 0)
    Objective(model).nll_sum(batch)
    assert "forward" not in model.lm_head.__dict__
    assert model(input_ids=batch.input_ids).logits.shape == (1, 40, VOCABULARY)
    batch.targets.fill_(VOCABULARY + 5)  # an id that no row of the head has
    with pytest.raises((RuntimeError, IndexError)):
        Objective(model).nll_sum(batch)
    assert "forward" not in model.lm_head.__dict__


@pytest.mark.parametrize("case", ["bias", "adapter", "scaled", "plain"])
def test_a_head_that_is_not_a_plain_matrix_is_not_bypassed(
    folders: dict[str, Path], case: str
) -> None:
    model = load(folders["llama"])
    expected = {"bias": "head_is_special", "adapter": "head_is_special", "plain": "not_wanted",
                "scaled": "logits_are_changed"}[case]  # fmt: skip
    if case == "bias":
        model.lm_head.bias = torch.nn.Parameter(torch.ones(VOCABULARY))
    elif case == "adapter":
        from peft import LoraConfig, inject_adapter_in_model

        inject_adapter_in_model(LoraConfig(target_modules=["lm_head"]), model)
    elif case == "scaled":
        model.config.logits_scaling = 8.0
    objective = Objective(model, chunked=case != "plain")
    assert objective.why_plain == expected
    batch = make_batch(rows_of((40,)), 0)
    logits = model(input_ids=batch.input_ids).logits[:, batch.positions]
    wanted = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), batch.targets.flatten(), ignore_index=IGNORED, reduction="sum"
    )
    assert float(objective.nll_sum(batch)) == pytest.approx(float(wanted), rel=1e-6)


@pytest.mark.parametrize("flat", [False, True])
def test_the_count_that_divides_the_loss_is_the_count_of_positions_with_loss(flat: bool) -> None:
    """Older transformers counted position 0 as well, which has nothing to be predicted from."""
    for untrained in (0, 1, 2):
        window = make_window(rows_of(untrained=untrained), 2, 0, flat=flat)
        counted = sum(int((batch.targets != IGNORED).sum()) for batch in window.batches)
        assert window.target_tokens == counted == sum(n - max(1, untrained) for n in LENGTHS)
