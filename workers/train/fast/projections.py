"""Frozen linear layers with adapters, by hand: what autograd would keep twice is kept once.

For y = x W' + s (x A') B' with W frozen, only x and the narrow x A' are needed for the gradients.
Layers that read the same x share one pass over it: their A matrices are stacked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as functional

from workers.train.fast.nf4 import is_nf4, unpack_nf4

Tensors = Sequence[torch.Tensor]


@dataclass(frozen=True)
class Projection:
    """One frozen linear layer and perhaps its adapter.

    Holds modules, not their tensors: FSDP swaps a module's tensors between forward and backward.
    """

    base: Any
    """torch's Linear or bitsandbytes' Linear4bit."""
    lora_a: Any = None
    """Linear (in, rank) without bias, or None."""
    lora_b: Any = None
    scale: float = 1.0

    @property
    def adapted(self) -> bool:
        """Has something to learn."""
        return self.lora_a is not None

    def weight(self, dtype: torch.dtype) -> torch.Tensor:
        """(out, in); unpacked when the base is 4-bit."""
        weight = self.base.weight
        unpacked: torch.Tensor = unpack_nf4(weight, dtype) if is_nf4(weight) else weight.to(dtype)
        return unpacked

    def bias(self, dtype: torch.dtype) -> torch.Tensor | None:
        """(out,), or None."""
        return None if self.base.bias is None else self.base.bias.to(dtype)


@dataclass(frozen=True)
class InputGradient:
    """What `Group.input_grad` found."""

    d_input: torch.Tensor | None
    narrow: torch.Tensor | None
    """Gradient in x A', all adapters side by side."""


class Group:
    """Projections of one input.

    The adapters' tensors are passed to every call as (A, B, A, B, ...): an autograd function must
    get them as arguments to be asked for their gradients.
    """

    def __init__(self, *projections: Projection) -> None:
        self.projections = projections
        self._adapted = [p for p in projections if p.adapted]

    def tensors(self) -> list[torch.Tensor]:
        """The adapters' tensors of this moment."""
        return [t for p in self._adapted for t in (p.lora_a.weight, p.lora_b.weight)]

    def weights(self, dtype: torch.dtype) -> list[torch.Tensor]:
        """The frozen matrices; hold them to unpack 4-bit ones once for several calls."""
        return [p.weight(dtype) for p in self.projections]

    def forward(
        self, x: torch.Tensor, adapters: Tensors, weights: Tensors | None = None
    ) -> tuple[list[torch.Tensor], torch.Tensor | None]:
        """Outputs for `x` (tokens, in), and x A' of all adapters side by side.

        Args:
            x: contiguous (tokens, in).
            adapters: as from `tensors`.
            weights: as from `weights`, or None: unpacked one after the other.
        """
        narrow = self.narrow(x, adapters)
        outputs = []
        for i, projection in enumerate(self.projections):
            weight = projection.weight(x.dtype) if weights is None else weights[i]
            outputs.append(functional.linear(x, weight, projection.bias(x.dtype)))
            del weight  # two unpacked matrices at once would raise the peak
        for projection, y, part, b in self._parts(outputs, narrow, adapters):
            y.addmm_(part, _scaled(b, projection, x.dtype).t())
        return outputs, narrow

    def narrow(self, x: torch.Tensor, adapters: Tensors) -> torch.Tensor | None:
        """X A' of all adapters side by side."""
        return x @ _stacked(adapters, x.dtype).t() if adapters else None

    def input_grad(
        self,
        upstreams: Tensors,
        adapters: Tensors,
        weights: Tensors | None = None,
        *,
        wanted: bool = True,
    ) -> InputGradient:
        """Gradient in `x`, in one tensor; with `wanted` false only what the adapters need."""
        dtype = upstreams[0].dtype
        narrow = torch.cat(
            [
                y @ _scaled(b, projection, dtype)
                for projection, y, _, b in self._parts(upstreams, None, adapters)
            ],
            dim=1,
        ) if adapters else None  # fmt: skip
        if not wanted:
            return InputGradient(None, narrow)
        total: torch.Tensor | None = None
        for i, (projection, y) in enumerate(zip(self.projections, upstreams, strict=True)):
            weight = projection.weight(dtype) if weights is None else weights[i]
            total = y @ weight if total is None else total.addmm_(y, weight)
            del weight
        assert total is not None
        if narrow is not None:
            total.addmm_(narrow, _stacked(adapters, dtype))
        return InputGradient(total, narrow)

    def adapter_grads(
        self,
        upstreams: Tensors,
        x: torch.Tensor,
        narrow: torch.Tensor | None,
        narrow_grad: torch.Tensor | None,
        adapters: Tensors,
        *,
        row_scale: torch.Tensor | None = None,
        column_scale: torch.Tensor | None = None,
    ) -> list[torch.Tensor]:
        """Gradients of `adapters`, in their order and dtypes.

        Args:
            upstreams: gradients of the outputs.
            x: the input; or, with the scales, what the input is row_scale * x * column_scale of.
                So the normed input of RMSNorm need not be made again.
            narrow: from `forward`.
            narrow_grad: from `input_grad`.
            adapters: as in `forward`.
            row_scale: fp32 (tokens,).
            column_scale: (in,).
        """
        if narrow_grad is None:
            return []
        left = narrow_grad
        if row_scale is not None:
            left = (narrow_grad * row_scale[:, None]).to(narrow_grad.dtype)
        d_stacked = left.t() @ x
        if column_scale is not None:
            d_stacked = d_stacked * column_scale
        d_as = torch.split(d_stacked, [a.shape[0] for a in adapters[::2]])
        gradients: list[torch.Tensor] = []
        parts = self._parts(upstreams, narrow, adapters)
        for d_a, (projection, y, part, b) in zip(d_as, parts, strict=True):
            d_b = (y.t() @ part).to(b.dtype).mul_(projection.scale)
            gradients += [d_a.to(b.dtype), d_b]
        return gradients

    def _parts(
        self, wide: Tensors, narrow: torch.Tensor | None, adapters: Tensors
    ) -> list[tuple[Projection, torch.Tensor, torch.Tensor, torch.Tensor]]:
        """(projection, its column of `wide`, its part of `narrow`, B) of each adapted one."""
        ranks = [a.shape[0] for a in adapters[::2]]
        pieces = wide if narrow is None else torch.split(narrow, ranks, dim=1)
        columns = [y for p, y in zip(self.projections, wide, strict=True) if p.adapted]
        return list(zip(self._adapted, columns, pieces, adapters[1::2], strict=False))


def _stacked(adapters: Tensors, dtype: torch.dtype) -> torch.Tensor:
    """All A matrices, one under the other."""
    matrices = list(adapters[::2])
    return (matrices[0] if len(matrices) == 1 else torch.cat(matrices)).to(dtype)


def _scaled(b: torch.Tensor, projection: Projection, dtype: torch.dtype) -> torch.Tensor:
    """S B: rounded once, after the scale."""
    return (b * projection.scale).to(dtype)
