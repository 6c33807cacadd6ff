"""Packed rows on a card: torch's varlen kernel gives what separate documents give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no NVIDIA card"),
]

from tests.tiny_models import build_tiny  # noqa: E402
from workers.train import attention  # noqa: E402
from workers.train.batches import join, make_batch  # noqa: E402
from workers.train.encoding import Encoded  # noqa: E402
from workers.train.objective import Objective  # noqa: E402

LENGTHS = (5, 80, 17, 40, 2)
SHAPES: dict[str, dict[str, Any]] = {
    "llama": {},  # two queries a key
    "qwen3": {},
    "deepseek_v2": {"qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128},
    "deepseek_v3": {"qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128},
}
"""Multi-head latent attention with DeepSeek's own widths: 192 for queries and keys, 128 for
values."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {arch: build_tiny(root / arch, arch, **more) for arch, more in SHAPES.items()}


def load(folder: Path, dtype: Any) -> Any:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).cuda().train()
    assert attention.install(model)
    return model


def documents() -> list[Encoded]:
    rng = np.random.default_rng(5)
    return [Encoded(rng.integers(3, 380, n).astype(np.int32), np.ones(n, bool)) for n in LENGTHS]


def learned(model: Any, batches: list[Any]) -> tuple[float, Any]:
    model.zero_grad()
    total = 0.0
    for batch in batches:
        nll: Any = Objective(model).nll_sum(batch.to(torch.device("cuda")))
        nll.backward()
        total += float(nll.detach())
    grads = [p.grad.float().flatten() for p in model.parameters() if p.grad is not None]
    return total, torch.cat(grads)


@pytest.mark.parametrize("arch", SHAPES)
def test_the_kernel_keeps_documents_apart(
    folders: dict[str, Path], arch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As near to fp32 as separate documents in bf16 are, and far from documents that are mixed."""
    packed = [make_batch([join(documents())], 0)]
    alone = [make_batch([row], 0) for row in documents()]
    exact, wanted = learned(load(folders[arch], torch.float32), alone)
    calls: list[int] = []
    kernel = attention._kernel
    monkeypatch.setattr(attention, "_kernel", lambda *args: calls.append(1) or kernel(*args))
    model = load(folders[arch], torch.bfloat16)
    _, bf16 = learned(model, alone)
    calls.clear()
    found, made = learned(model, packed)
    assert len(calls) == model.config.num_hidden_layers
    assert found == pytest.approx(exact, rel=5e-3)
    error, usual = ((g - wanted).norm() / wanted.norm() for g in (made, bf16))
    assert error < max(2 * usual, 0.02)


@pytest.mark.parametrize("arch", SHAPES)
def test_fp32_takes_the_loop_and_is_exact(folders: dict[str, Path], arch: str) -> None:
    model = load(folders[arch], torch.float32)
    exact, wanted = learned(model, [make_batch([row], 0) for row in documents()])
    found, made = learned(model, [make_batch([join(documents())], 0)])
    assert found == pytest.approx(exact, rel=1e-5)
    assert (made - wanted).norm() / wanted.norm() < 1e-4


def test_a_packed_forward_pass_never_waits_for_the_card(folders: dict[str, Path]) -> None:
    model = load(folders["llama"], torch.bfloat16)
    objective = Objective(model)
    batch = make_batch([join(documents())], 0).to(torch.device("cuda"))
    objective.nll_sum(batch).backward()  # kernels are chosen and compiled
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        objective.nll_sum(batch).backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
