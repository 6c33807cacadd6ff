"""The forward pass of a whole decoder layer, with or without recomputation in the backward pass."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch

from workers.train.fast import mlp_half
from workers.train.fast.attention_backend import fastest_attention
from workers.train.fast.attention_half import AttentionHalf
from workers.train.fast.mlp_half import MlpHalf

Recompute = Literal["none", "selective", "full"]
"""What the backward pass makes again: nothing; gate and up; everything but the last product."""


@dataclass(frozen=True)
class FastLayer:
    """One decoder layer's parts."""

    attention: Any
    """transformers' attention module: its settings, and what implementations ask of it."""
    first: AttentionHalf
    second: MlpHalf
    recompute: Recompute

    def __call__(
        self,
        x: torch.Tensor,
        cos: torch.Tensor,
        sin: torch.Tensor,
        mask: torch.Tensor | None,
        extra: Mapping[str, Any],
    ) -> torch.Tensor:
        """The layer's output for `x` (batch, tokens, width); `extra` goes to the attention."""
        x = x.contiguous()
        mode = self.recompute if torch.is_grad_enabled() else "none"
        if mode == "full":
            adapters = [*self.first.tensors(), *self.second.tensors()]
            out: torch.Tensor = _Recomputed.apply(self, x, cos, sin, mask, extra, *adapters)  # type: ignore[no-untyped-call]
            return out
        middle = self.attend(x, cos, sin, mask, extra)
        lean = mode == "selective" or not torch.is_grad_enabled()
        return mlp_half.run(self.second, middle, lean=lean)

    def attend(
        self,
        x: torch.Tensor,
        cos: torch.Tensor,
        sin: torch.Tensor,
        mask: torch.Tensor | None,
        extra: Mapping[str, Any],
    ) -> torch.Tensor:
        """The first half."""
        q, k, v, around = self.first.project(x, cos, sin)
        heads = [t.transpose(1, 2) for t in (q, k, v)]
        with fastest_attention(*heads):
            attended, _ = _implementation(self.attention)(
                self.attention, *heads, mask, **_settings(self.attention), **extra
            )
        return self.first.finish(attended.flatten(2).contiguous(), around)


class _Recomputed(torch.autograd.Function):
    """Keeps the input of the layer alone. Nothing in it is random, so no generator is kept."""

    @staticmethod
    def forward(
        ctx: Any,
        layer: FastLayer,
        x: torch.Tensor,
        cos: torch.Tensor,
        sin: torch.Tensor,
        mask: torch.Tensor | None,
        extra: Mapping[str, Any],
        *adapters: torch.Tensor,
    ) -> torch.Tensor:
        ctx.layer, ctx.extra = layer, extra
        ctx.save_for_backward(x, cos, sin, mask, *adapters)
        middle = layer.attend(x, cos, sin, mask, extra)
        return mlp_half.run(layer.second, middle, lean=True)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[Any, ...]:
        layer: FastLayer = ctx.layer
        x, cos, sin, mask, *adapters = ctx.saved_tensors
        asked = ctx.needs_input_grad[1]
        source = x.detach().requires_grad_(asked)
        with torch.enable_grad():
            middle = layer.attend(source, cos, sin, mask, ctx.extra)
        first = layer.first.tensors()
        d_middle, second = mlp_half.backward(
            layer.second, middle.detach(), upstream, adapters[len(first) :]
        )
        sources = [source, *first] if asked else first
        found = list(torch.autograd.grad(middle, sources, d_middle)) if sources else []
        d_x = found.pop(0) if asked else None
        return (None, d_x, None, None, None, None, *found, *second)


def _implementation(attention: Any) -> Callable[..., tuple[torch.Tensor, Any]]:
    """The attention function that the model's config names."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    name = attention.config._attn_implementation
    if name == "eager":
        eager: Any = sys.modules[type(attention).__module__].eager_attention_forward  # type: ignore[attr-defined]
        return eager  # type: ignore[no-any-return]
    found: Any = ALL_ATTENTION_FUNCTIONS[name]
    return found  # type: ignore[no-any-return]


def _settings(attention: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {"dropout": 0.0, "scaling": attention.scaling}
    if hasattr(attention, "sliding_window"):
        settings["sliding_window"] = attention.sliding_window
    return settings
