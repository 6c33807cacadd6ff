"""Weights of a processor, laid out once for oneDNN: few rows then cost half of a plain product.

A plain `linear` of one to some dozens of rows reads a row-major matrix in an order that a processor
does not like, or rearranges it each time; oneDNN's own blocked layout is rearranged once
(https://uxlfoundation.github.io/oneDNN/dev_guide_matmul.html, "Weights in a blocked layout").
"""

from __future__ import annotations

import contextlib

import torch

from workers.serve.native.linears import Adaptable, PlainWeights, Projection
from workers.serve.native.models import Model

_ROWS = 8
"""The layout is chosen for so many; measured here, it suits 1 to 256 rows alike."""


class PackedWeights:
    """A matrix in oneDNN's layout, and its bias."""

    def __init__(self, plain: PlainWeights) -> None:
        weight = plain.weight.detach()
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), _ROWS)
        self.bias = plain.bias
        self._width = weight.shape[0]

    def apply(self, x: torch.Tensor) -> torch.Tensor:
        """[T, K] to [T, N]."""
        if not x.shape[0]:
            return x.new_empty(0, self._width)
        out: torch.Tensor = torch.ops.mkldnn._linear_pointwise(
            x, self.weight, self.bias, "none", [], ""
        )
        return out


def pack(model: Model) -> int:
    """Pack all plain matrices of a model on the processor; returns how many there were.

    A packed matrix's old memory is freed, and with it what transformers' modules see of it, unless
    the model uses it otherwise (an embedding that is also the head).
    """
    kept = {tensor.untyped_storage().data_ptr() for tensor in model.vocabulary.values()}
    projections = {id(part.projection): part.projection for part in model.linears.values()}
    return sum(_pack(projection, kept) for projection in projections.values())


def _pack(projection: Adaptable, kept: set[int]) -> bool:
    if not isinstance(projection, Projection):
        return False
    plain = projection.weights
    if not (isinstance(plain, PlainWeights) and _packable(plain.weight)):
        return False
    projection.weights = PackedWeights(plain)
    storage = plain.weight.untyped_storage()
    if storage.data_ptr() not in kept:
        with contextlib.suppress(RuntimeError):  # memory of a file cannot be given back early
            storage.resize_(0)
    return True


def _packable(weight: torch.Tensor) -> bool:
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    if not hasattr(torch.ops.mkldnn, "_reorder_linear_weight"):
        return False
    if weight.dtype == torch.float32:
        return True
    checks = {
        torch.bfloat16: "_is_mkldnn_bf16_supported",
        torch.float16: "_is_mkldnn_fp16_supported",
    }
    check = getattr(torch.ops.mkldnn, checks.get(weight.dtype, ""), None)
    return check is not None and bool(check())
