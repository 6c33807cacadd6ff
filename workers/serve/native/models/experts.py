"""Routed experts: transformers' own modules choose, so that routing is exact, and compute.

On cards where transformers' way of computing asks the host how many tokens an expert has, a kernel
of our own computes. Shared experts, which every token passes, are ordinary gated MLPs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from workers.serve.native import ops
from workers.serve.native.models import Part
from workers.serve.native.models.stack import GatedMlp, Mlp

_KNOWN_PARTS = frozenset({"gate", "experts", "shared_experts"})
_PLAIN_EXPERTS = frozenset(
    {"DeepseekV2Experts", "DeepseekV3Experts", "Qwen2MoeExperts", "Qwen3MoeExperts"}
)
"""Matrices [experts, outputs, inputs], gate and up as one, no bias."""


class RoutedMlp:
    """Some experts of many a token, and the shared ones beside where there are any."""

    routed = True

    def __init__(self, mlp: Any) -> None:
        self._gate, self._experts = mlp.gate, mlp.experts
        self._is_plain = type(mlp.experts).__name__ in _PLAIN_EXPERTS
        shared = getattr(mlp, "shared_experts", None)
        self._shared = None if shared is None else GatedMlp(shared, "mlp.shared_experts")

    def apply(self, normed: torch.Tensor, chosen: torch.Tensor | None) -> torch.Tensor:
        """See `Mlp`."""
        made = self._routed(normed).to(normed.dtype)
        return made if self._shared is None else made + self._shared.apply(normed, chosen)

    def linears(self) -> Iterator[tuple[str, Part]]:
        """Those of the shared experts: see `Mlp`."""
        if self._shared is not None:
            yield from self._shared.linears()

    def _routed(self, normed: torch.Tensor) -> torch.Tensor:
        _, shares, chosen = self._gate(normed)
        if self._is_plain:
            weights = self._experts.gate_up_proj, self._experts.down_proj
            ours = ops.by_kernel("routed_experts", normed, *weights, shares, chosen)
            if isinstance(ours, torch.Tensor):
                return ours
        made: torch.Tensor = self._experts(normed, chosen, shares)
        return made


class WholeMlp:
    """Experts arranged in another way, or a gate that answers otherwise: the module as it is."""

    routed = True

    def __init__(self, mlp: Any) -> None:
        self._mlp = mlp

    def apply(self, normed: torch.Tensor, chosen: torch.Tensor | None) -> torch.Tensor:
        """See `Mlp`."""
        made: torch.Tensor = self._mlp(normed[None])[0]
        return made

    def linears(self) -> Iterator[tuple[str, Part]]:
        """None that adapters could have."""
        yield from ()


def mlp_of(mlp: Any, like: torch.Tensor) -> Mlp:
    """The second half of a layer in the form that runs it.

    Args:
        mlp: transformers' module.
        like: a matrix of the width, type and device that it reads.
    """
    if not hasattr(mlp, "experts"):
        return GatedMlp(mlp)
    if {name for name, _ in mlp.named_children()} <= _KNOWN_PARTS and _tells_whom(mlp.gate, like):
        return RoutedMlp(mlp)
    return WholeMlp(mlp)


def _tells_whom(gate: Any, like: torch.Tensor) -> bool:
    """Whether a gate answers (logits, weights [T, k], experts [T, k])."""
    with torch.no_grad():
        answer = gate(torch.zeros_like(like[:1]))
    if not (isinstance(answer, tuple) and len(answer) == 3):
        return False
    _, weights, experts = answer
    return weights.shape == experts.shape and not experts.is_floating_point()
