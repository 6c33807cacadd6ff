"""The sampler on a card: its kernel against plain torch, and never a wait for the device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

pytest.importorskip("torch")

import torch

from tests.unit import test_native_sampler as on_host
from workers.serve.engines.base import SamplingParams
from workers.serve.native.sampling import sampler as sampling
from workers.serve.native.sampling.sampler import Sampler

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA card"),
]

WARM = SamplingParams(max_new_tokens=8, temperature=0.8)


@pytest.fixture(params=[True, False], ids=["kernel", "torch"])
def _with_and_without_kernel(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not request.param:
        monkeypatch.setattr(sampling, "_kernel", lambda device: None)
    elif sampling._kernel(torch.device("cuda")) is None:
        pytest.skip("no Triton for this card")


@pytest.fixture
def _no_waiting() -> Iterator[None]:
    torch.cuda.synchronize()
    yield
    torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize(
    "name", ["peaked", "flat", "half", "small", "masked", "strided", "frequencies"]
)
def test_the_drawing_kernel_agrees_with_plain_torch_on_a_card(name: str) -> None:
    pytest.importorskip("triton")
    from tests.unit.native_draw_checks import CHECKS

    CHECKS[name](device="cuda")


@pytest.mark.parametrize("scale", [0.05, 1.0, 4.0])
def test_the_drawing_kernel_agrees_over_a_large_vocabulary(scale: float) -> None:
    pytest.importorskip("triton")
    from tests.unit.native_draw_checks import agrees, random_logits

    for dtype in (torch.bfloat16, torch.float32):
        agrees(random_logits(102_400, scale, dtype, 7).cuda(), "cuda")


@pytest.mark.usefixtures("_with_and_without_kernel", "_no_waiting")
def test_a_step_never_waits_for_the_card() -> None:
    vocabulary, rows = 32_000, 8
    sampler = Sampler(vocabulary, rows, "cuda")
    wishes = [
        replace(WARM, temperature=0.0),
        replace(WARM, top_p=0.9, seed="a"),
        replace(WARM, top_k=40, min_p=0.01, logprobs=5),
        replace(WARM, repetition_penalty=1.2, presence_penalty=0.5),
        replace(WARM, logit_bias=((7, 5.0), (9, -5.0))),
    ]
    logits = torch.randn(len(wishes), vocabulary, device="cuda", dtype=torch.bfloat16)
    slots = torch.arange(len(wishes), device="cuda")
    masks = torch.full((len(wishes), vocabulary // 32), -1, dtype=torch.int32, device="cuda")
    for slot, params in enumerate(wishes):
        sampler.join(slot, params, [1, 2, 3])
    sampler.sample(logits, slots, masks)  # compiles
    torch.cuda.set_sync_debug_mode("error")
    for slot, params in enumerate(wishes):
        sampler.leave(slot)
        sampler.join(slot, params, [4, 5, 6], produced=[7])
    for _ in range(3):
        sampled = sampler.sample(logits, slots, masks, rows=list(range(len(wishes))))
    torch.cuda.set_sync_debug_mode("default")
    assert sampled.logprobs is not None
    assert sampled.tokens.shape == (len(wishes),)


@pytest.mark.usefixtures("_with_and_without_kernel")
def test_rows_answer_the_same_alone_and_together_on_a_card() -> None:
    rows = dict(enumerate(on_host.mixed_rows()))
    together = on_host.answers(rows, 12, [3, 0, 9, 1, 15, 4, 7], device="cuda")
    for number, params in rows.items():
        alone = on_host.answers({number: params}, 12, [number], device="cuda")
        assert alone == {number: together[number]}


@pytest.mark.usefixtures("_with_and_without_kernel")
def test_a_card_draws_what_a_processor_draws() -> None:
    """Sums are rounded in another order: a token in hundreds may differ."""
    rows = dict(enumerate(on_host.mixed_rows()))
    slots = list(range(len(rows)))
    here = on_host.answers(rows, 40, slots)
    there = on_host.answers(rows, 40, slots, device="cuda")
    for number, params in rows.items():
        if params.penalized:
            continue  # one different token changes all that follow
        same = sum(a == b for a, b in zip(here[number], there[number], strict=True))
        assert same >= 38
