"""The forward pass of a whole decoder layer, with or without recomputation in the backward pass."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch

from workers.train.fast import mlp_half
from workers.train.fast.attention_backend import fastest_attention
from workers.train.fast.attention_half import AttentionHalf
from workers.train.fast.mlp_half import PIECE_TOKENS, MlpHalf

Recompute = Literal["none", "selective", "full"]
"""What the backward pass makes again: nothing; gate and up; everything but the last product."""


@dataclass(frozen=True)
class Surroundings:
    """What the attention of a layer is told beside its input."""

    cos: torch.Tensor
    sin: torch.Tensor
    mask: torch.Tensor | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    """Positions, packed lengths: passed on to the attention function."""

    def divisible(self) -> bool:
        """Rows of the batch do not depend on each other, and nothing here spans several."""
        tensors = [k for k, v in self.extra.items() if isinstance(v, torch.Tensor)]
        return self.mask is None and set(tensors) <= {"position_ids"}

    def of_rows(self, rows: slice, batch: int) -> Surroundings:
        """For some of a batch's rows."""
        if rows == slice(0, batch):
            return self

        def cut(t: Any) -> Any:
            return t[rows] if isinstance(t, torch.Tensor) and t.shape[0] > 1 else t

        extra = {name: cut(value) for name, value in self.extra.items()}
        return replace(self, cos=cut(self.cos), sin=cut(self.sin), extra=extra)


@dataclass(frozen=True)
class FastLayer:
    """One decoder layer's parts."""

    attention: Any
    """transformers' attention module: its settings, and what implementations ask of it."""
    first: AttentionHalf
    second: MlpHalf
    recompute: Recompute

    def __call__(self, x: torch.Tensor, around: Surroundings) -> torch.Tensor:
        """The layer's output for `x` (batch, tokens, width)."""
        x = x.contiguous()
        mode = self.recompute if torch.is_grad_enabled() else "none"
        if mode == "full":
            adapters = [*self.first.tensors(), *self.second.tensors()]
            out: torch.Tensor = _Recomputed.apply(self, around, x, *adapters)  # type: ignore[no-untyped-call]
            return out
        lean = mode == "selective" or not torch.is_grad_enabled()
        return mlp_half.run(self.second, self.attend(x, around), lean=lean)

    def attend(self, x: torch.Tensor, around: Surroundings) -> torch.Tensor:
        """The first half."""
        q, k, v, past = self.first.project(x, around.cos, around.sin)
        heads = [t.transpose(1, 2) for t in (q, k, v)]
        with self._backend(heads, around):
            attended, _ = _implementation(self.attention)(
                self.attention, *heads, around.mask, **_settings(self.attention), **around.extra
            )
        return self.first.finish(attended.flatten(2).contiguous(), past)

    def _backend(
        self, heads: list[torch.Tensor], around: Surroundings
    ) -> AbstractContextManager[None]:
        causal = around.mask is None and "cu_seq_lens_q" not in around.extra
        return fastest_attention(*heads) if causal else nullcontext()


class _Recomputed(torch.autograd.Function):
    """Keeps the input of the layer alone. Nothing in it is random, so no generator is kept.

    A large batch is taken a few rows at a time: what is alive at once then does not grow with it.
    """

    @staticmethod
    def forward(
        ctx: Any,
        layer: FastLayer,
        around: Surroundings,
        x: torch.Tensor,
        *adapters: torch.Tensor,
    ) -> torch.Tensor:
        ctx.layer, ctx.around = layer, around
        ctx.save_for_backward(x, *adapters)
        second = adapters[len(layer.first.tensors()) :]
        out = torch.empty_like(x)
        for rows in _pieces(x, around):
            middle = layer.attend(x[rows], around.of_rows(rows, x.shape[0]))
            mlp_half.forward(layer.second, middle, second, out[rows])
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[Any, ...]:
        x, *adapters = ctx.saved_tensors
        wanted = ctx.needs_input_grad[2]
        d_xs: list[torch.Tensor] = []
        total: list[torch.Tensor] = []
        for rows in _pieces(x, ctx.around):
            around = ctx.around.of_rows(rows, x.shape[0])
            d_x, found = _again(ctx.layer, around, x[rows], upstream[rows], adapters, wanted)
            d_xs += [] if d_x is None else [d_x]
            total = mlp_half.added(total, found)
        d_whole = None if not wanted else d_xs[0] if len(d_xs) == 1 else torch.cat(d_xs)
        return (None, None, d_whole, *total)


def _again(
    layer: FastLayer,
    around: Surroundings,
    x: torch.Tensor,
    upstream: torch.Tensor,
    adapters: list[torch.Tensor],
    wanted: bool,
) -> tuple[torch.Tensor | None, list[torch.Tensor]]:
    """Gradients in `x` (if wanted) and the adapters; the MLP's output is not made again."""
    source = x.detach().requires_grad_(wanted)
    first = layer.first.tensors()  # those that `attend` will meet: what was saved may be a copy
    second = adapters[len(first) :]
    with torch.enable_grad():
        middle = layer.attend(source, around)
    d_middle, above = mlp_half.backward(layer.second, middle.detach(), upstream, second)
    sources = [source, *first] if wanted else first
    found = list(torch.autograd.grad(middle, sources, d_middle)) if sources else []
    d_x = found.pop(0) if wanted else None
    return d_x, [*found, *above]


def _pieces(x: torch.Tensor, around: Surroundings) -> Iterator[slice]:
    """Rows of the batch to be taken at once."""
    batch, tokens = x.shape[:2]
    at_once = max(1, PIECE_TOKENS // tokens) if around.divisible() else batch
    for start in range(0, batch, at_once):
        yield slice(start, min(batch, start + at_once))


def _implementation(attention: Any) -> Callable[..., tuple[torch.Tensor, Any]]:
    """The attention function that the model's config names."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    name = attention.config._attn_implementation
    if name == "eager":
        eager: Any = sys.modules[type(attention).__module__].eager_attention_forward
        return eager  # type: ignore[no-any-return]
    found: Any = ALL_ATTENTION_FUNCTIONS[name]
    return found  # type: ignore[no-any-return]


def _settings(attention: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {"dropout": 0.0, "scaling": attention.scaling}
    if hasattr(attention, "sliding_window"):
        settings["sliding_window"] = attention.sliding_window
    return settings
