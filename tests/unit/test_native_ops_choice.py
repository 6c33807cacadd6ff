"""Which implementation an operation of the native engine takes."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import torch

from workers.serve.native import ops
from workers.serve.native.ops import reference


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A kernel for `silu_mul` that this card cannot compile."""
    calls: list[str] = []

    def fails(*_: torch.Tensor) -> torch.Tensor:
        calls.append("silu_mul")
        raise RuntimeError("no such instruction on this card")

    kernel = ops._Kernel(fails, ops._always)
    monkeypatch.setattr(ops, "_kernel", lambda name, _: kernel if name == "silu_mul" else None)
    monkeypatch.setattr(ops, "_broken", set())
    return calls


def test_a_kernel_that_fails_is_replaced_and_not_tried_again(tried: list[str]) -> None:
    x = torch.randn(3, 8)
    for _ in range(2):
        assert torch.equal(ops.silu_mul(x), reference.silu_mul(x))
    assert tried == ["silu_mul"]


def test_a_full_card_is_no_fault_of_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(ops, "_kernel", lambda *_: ops._Kernel(full, ops._always))
    monkeypatch.setattr(ops, "_broken", set())
    with pytest.raises(torch.OutOfMemoryError):
        ops.silu_mul(torch.randn(3, 8))
    assert not ops._broken


def test_passes_are_not_recorded_when_attention_by_pages_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ops, "_kernel", lambda *_: ops._Kernel(ops.silu_mul, ops._always))
    monkeypatch.setattr(ops, "_broken", set())
    assert ops.records(torch.device("cpu"))
    ops._broken.add("paged_attention")
    assert not ops.records(torch.device("cpu"))
