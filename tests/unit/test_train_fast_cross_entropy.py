"""Head and loss in one function: the same numbers as logits in full, in every dtype."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
import torch.nn.functional as functional  # noqa: E402

from workers.train.fast.cross_entropy import IGNORED, linear_nll_sum  # noqa: E402

TOKENS, WIDTH, WORDS = 37, 24, 101


def _case(dtype: torch.dtype, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(TOKENS, WIDTH, generator=generator)
    weight = torch.randn(WORDS, WIDTH, generator=generator)
    targets = torch.randint(0, WORDS, (TOKENS,), generator=generator)
    targets[::5] = IGNORED
    return hidden.to(dtype), weight.to(dtype), targets


def _plain(
    hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Loss and gradients in fp64."""
    h, w = (t.detach().double().requires_grad_() for t in (hidden, weight))
    loss = functional.cross_entropy(h @ w.t(), targets, ignore_index=IGNORED, reduction="sum")
    loss.backward()
    return loss.detach(), h.grad, w.grad


def _far(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a.double() - b).norm() / b.norm())


@pytest.mark.parametrize("chunk_tokens", [1, 8, 37, 4096])
def test_fp32_equals_the_plain_loss_at_any_chunk_size(chunk_tokens: int) -> None:
    hidden, weight, targets = _case(torch.float32)
    loss, d_hidden, d_weight = _plain(hidden, weight, targets)
    hidden.requires_grad_()
    weight.requires_grad_()
    ours = linear_nll_sum(hidden, weight, targets, chunk_tokens)
    ours.backward()
    assert ours.dtype == torch.float32
    assert ours.item() == pytest.approx(loss.item(), rel=1e-6)
    assert _far(hidden.grad, d_hidden) < 1e-6
    assert _far(weight.grad, d_weight) < 1e-6


@pytest.mark.parametrize(("dtype", "near"), [(torch.bfloat16, 1e-2), (torch.float16, 2e-3)])
def test_16_bits_stay_near_the_plain_loss(dtype: torch.dtype, near: float) -> None:
    hidden, weight, targets = _case(dtype)
    loss, d_hidden, d_weight = _plain(hidden, weight, targets)
    hidden.requires_grad_()
    weight.requires_grad_()
    ours = linear_nll_sum(hidden, weight, targets, 8)
    ours.backward()
    assert ours.item() == pytest.approx(loss.item(), rel=near)
    assert hidden.grad.dtype == weight.grad.dtype == dtype
    assert _far(hidden.grad, d_hidden) < near
    assert _far(weight.grad, d_weight) < near


def test_a_loss_scale_passes_through_fp16_without_overflow() -> None:
    hidden, weight, targets = _case(torch.float16)
    _, d_hidden, _ = _plain(hidden, weight, targets)
    hidden.requires_grad_()
    (linear_nll_sum(hidden, weight, targets, 8) / 1000 * 65536.0).backward()
    assert torch.isfinite(hidden.grad).all()
    assert _far(hidden.grad / 65.536, d_hidden) < 4e-3


def test_small_probabilities_survive_fp16() -> None:
    """With 60,000 words a probability is 2e-5; fp16 alone keeps it to 3 bits."""
    words = 60_000
    weight = torch.zeros(words, 2, dtype=torch.float16)
    weight[:, 0] = 1.0
    hidden = torch.zeros(1, 2, dtype=torch.float16, requires_grad=True)
    linear_nll_sum(hidden, weight, torch.tensor([IGNORED]), 8).backward()
    assert hidden.grad.abs().max() == 0
    hidden.grad = None
    weight[7, 1] = 1000.0
    linear_nll_sum(hidden, weight, torch.tensor([3]), 8).backward()
    assert hidden.grad[0, 1].item() == pytest.approx(1000 / words, rel=1e-2)


def test_autocast_decides_the_dtype_of_the_products() -> None:
    hidden, weight, targets = _case(torch.float32)
    loss, d_hidden, d_weight = _plain(hidden, weight, targets)
    hidden.requires_grad_()
    weight.requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours = linear_nll_sum(hidden, weight, targets, 8)
    ours.backward()
    assert 0 < abs(ours.item() - loss.item()) < 1e-2 * loss.item()
    assert hidden.grad.dtype == weight.grad.dtype == torch.float32
    assert _far(hidden.grad, d_hidden) < 1e-2
    assert _far(weight.grad, d_weight) < 1e-2


def test_a_frozen_head_gets_no_gradient_and_costs_none() -> None:
    hidden, weight, targets = _case(torch.float32)
    hidden.requires_grad_()
    linear_nll_sum(hidden, weight, targets).backward()
    assert weight.grad is None


def test_only_the_head_may_be_trained() -> None:
    hidden, weight, targets = _case(torch.float32)
    _, _, d_weight = _plain(hidden, weight, targets)
    weight.requires_grad_()
    linear_nll_sum(hidden, weight, targets).backward()
    assert _far(weight.grad, d_weight) < 1e-6


def test_evaluation_keeps_nothing() -> None:
    hidden, weight, targets = _case(torch.float32)
    loss, _, _ = _plain(hidden, weight, targets)
    hidden.requires_grad_()
    with torch.no_grad():
        ours = linear_nll_sum(hidden, weight, targets)
    assert ours.grad_fn is None
    assert ours.item() == pytest.approx(loss.item(), rel=1e-6)


def test_no_token_at_all_is_a_loss_of_zero() -> None:
    _, weight, _ = _case(torch.float32)
    hidden = torch.zeros(0, WIDTH, requires_grad=True)
    loss = linear_nll_sum(hidden, weight, torch.zeros(0, dtype=torch.int64))
    loss.backward()
    assert loss.item() == 0
    assert hidden.grad.shape == (0, WIDTH)


def test_a_nan_in_an_ignored_row_reaches_neither_loss_nor_gradient() -> None:
    hidden, weight, targets = _case(torch.float32)
    hidden[0] = float("nan")  # its target is ignored
    hidden.requires_grad_()
    loss = linear_nll_sum(hidden, weight, targets, 8)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(hidden.grad).all()


def test_a_nan_in_a_counted_row_is_seen_in_the_loss() -> None:
    hidden, weight, targets = _case(torch.float32)
    hidden[1] = float("nan")
    assert torch.isnan(linear_nll_sum(hidden, weight, targets, 8))


def test_shapes_that_do_not_fit_are_refused() -> None:
    hidden, weight, targets = _case(torch.float32)
    with pytest.raises(ValueError, match="do not fit"):
        linear_nll_sum(hidden, weight, targets[:-1])
