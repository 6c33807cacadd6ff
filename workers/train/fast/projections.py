"""Frozen linear layers with adapters, by hand: what autograd would keep twice is kept once.

For y = x W' + s (x A') B' with W frozen, only x and the narrow x A' are needed for the gradients.
Layers that read the same x share one pass over it: their A matrices are stacked.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
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
class Packed:
    """The adapters of one group in the dtype of the products, made once a forward pass."""

    a: torch.Tensor
    """All A matrices, one under the other: (sum of ranks, in)."""
    bs: list[torch.Tensor]
    """s B of each: scaled before it is rounded."""
    ranks: list[int]
    dtypes: list[torch.dtype]
    """Of the adapters themselves, and so of their gradients."""

    def tensors(self) -> list[torch.Tensor]:
        """For `save_for_backward`, which frees them in time; a context would not."""
        return [self.a, *self.bs]

    def hollow(self) -> Packed:
        """All but the tensors."""
        return replace(self, a=self.a.new_empty(0), bs=[])

    def holding(self, tensors: Tensors) -> Packed:
        """A hollow one with its `tensors` again."""
        return replace(self, a=tensors[0], bs=list(tensors[1:]))


def keep(ctx: Any, packs: Sequence[Packed | None], tensors: Sequence[torch.Tensor | None]) -> None:
    """Save `tensors` and packs of adapters in an autograd function's context."""
    ctx.packs = [None if p is None else (p.hollow(), 1 + len(p.bs)) for p in packs]
    ctx.save_for_backward(*tensors, *(t for p in packs if p is not None for t in p.tensors()))


def kept(ctx: Any) -> tuple[list[Packed | None], list[torch.Tensor]]:
    """What `keep` saved. To be called once: hooks (activation offload) fetch at every look."""
    tensors = list(ctx.saved_tensors)
    packs: list[Packed | None] = []
    for one in reversed(ctx.packs):
        if one is None:
            packs.append(None)
        else:
            hollow, count = one
            packs.append(hollow.holding(tensors[-count:]))
            del tensors[-count:]
    return packs[::-1], tensors


@dataclass(frozen=True)
class InputGradient:
    """What `Group.input_grad` found."""

    d_input: torch.Tensor | None
    narrow: torch.Tensor | None
    """Gradient in x A', all adapters side by side."""


class Group:
    """Projections of one input.

    An autograd function gets the adapters' tensors as arguments (A, B, A, B, ...), so that it is
    asked for their gradients, packs them, and passes the pack to every call.
    """

    def __init__(self, *projections: Projection) -> None:
        self.projections = projections
        self._adapted = [p for p in projections if p.adapted]

    def tensors(self) -> list[torch.Tensor]:
        """The adapters' tensors of this moment."""
        return [t for p in self._adapted for t in (p.lora_a.weight, p.lora_b.weight)]

    def pack(self, adapters: Tensors, dtype: torch.dtype) -> Packed | None:
        """`adapters` as from `tensors`; None without any."""
        if not adapters:
            return None
        a_s, b_s = adapters[::2], adapters[1::2]
        ranks = [a.shape[0] for a in a_s]
        stacked = a_s[0].new_empty(sum(ranks), a_s[0].shape[1], dtype=dtype)
        torch.cat(list(a_s), out=stacked)
        scaled = [
            torch.mul(b, p.scale, out=torch.empty_like(b, dtype=dtype))
            for p, b in zip(self._adapted, b_s, strict=True)
        ]
        return Packed(stacked, scaled, ranks, [a.dtype for a in a_s])

    def forward(
        self, x: torch.Tensor, packed: Packed | None, *, late: Collection[int] = ()
    ) -> tuple[list[torch.Tensor], torch.Tensor | None]:
        """Outputs for `x` (tokens, in), and x A' of all adapters side by side.

        The outputs of projections `late` come without their adapter's part: the caller adds it.
        """
        narrow = self.narrow(x, packed)
        outputs = [
            functional.linear(x, p.weight(x.dtype), p.bias(x.dtype)) for p in self.projections
        ]
        for i, part, b in self.parts(packed, narrow):
            if i not in late:
                outputs[i].addmm_(part, b.t())
        return outputs, narrow

    def narrow(self, x: torch.Tensor, packed: Packed | None) -> torch.Tensor | None:
        """X A' of all adapters side by side."""
        return None if packed is None else x @ packed.a.t()

    def parts(
        self, packed: Packed | None, narrow: torch.Tensor | None
    ) -> list[tuple[int, torch.Tensor, torch.Tensor]]:
        """Of each adapted projection: its number, its columns of `narrow`, and s B."""
        if packed is None or narrow is None:
            return []
        numbers = [i for i, p in enumerate(self.projections) if p.adapted]
        return list(zip(numbers, torch.split(narrow, packed.ranks, dim=1), packed.bs, strict=True))

    def input_grad(
        self, upstreams: Tensors, packed: Packed | None, *, wanted: bool = True
    ) -> InputGradient:
        """Gradient in `x`, in one tensor; with `wanted` false only what the adapters need."""
        narrow = None
        if packed is not None:
            columns = [y for p, y in zip(self.projections, upstreams, strict=True) if p.adapted]
            narrow = torch.cat([y @ b for y, b in zip(columns, packed.bs, strict=True)], dim=1)
        if not wanted:
            return InputGradient(None, narrow)
        total: torch.Tensor | None = None
        for projection, y in zip(self.projections, upstreams, strict=True):
            weight = projection.weight(y.dtype)
            total = y @ weight if total is None else total.addmm_(y, weight)
            del weight  # two unpacked matrices at once would raise the peak
        assert total is not None
        if packed is not None and narrow is not None:
            total.addmm_(narrow, packed.a)
        return InputGradient(total, narrow)

    def adapter_grads(
        self,
        upstreams: Tensors,
        x: torch.Tensor,
        narrow: torch.Tensor | None,
        narrow_grad: torch.Tensor | None,
        packed: Packed | None,
        *,
        row_scale: torch.Tensor | None = None,
        column_scale: torch.Tensor | None = None,
    ) -> list[torch.Tensor]:
        """Gradients of the adapters' tensors, in their order and dtypes.

        Args:
            upstreams: gradients of the outputs.
            x: the input; or, with the scales, what the input is row_scale * x * column_scale of.
                So the normed input of RMSNorm need not be made again.
            narrow: from `forward`.
            narrow_grad: from `input_grad`.
            packed: as in `forward`.
            row_scale: fp32 (tokens,).
            column_scale: (in,).
        """
        if packed is None or narrow_grad is None:
            return []
        left = narrow_grad
        if row_scale is not None:
            left = torch.mul(narrow_grad, row_scale[:, None], out=torch.empty_like(narrow_grad))
        product = left.t() @ x
        d_a = torch.empty_like(product, dtype=packed.dtypes[0])
        torch.mul(product, 1.0 if column_scale is None else column_scale, out=d_a)
        gradients: list[torch.Tensor] = []
        d_as = torch.split(d_a, packed.ranks)
        for d_one, (i, part, _), dtype in zip(
            d_as, self.parts(packed, narrow), packed.dtypes, strict=True
        ):
            product = upstreams[i].t() @ part
            d_b = torch.empty_like(product, dtype=dtype)
            gradients += [d_one, torch.mul(product, self.projections[i].scale, out=d_b)]
        return gradients
