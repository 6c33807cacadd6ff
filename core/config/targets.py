"""Which modules of a model get an adapter. Pure names: the service asks before a start with the
names in the weights' headers, the worker with those of the loaded model, and both get one answer.

DeepSeek-V2 and V3 have no `q_proj` and `v_proj` (V2-Lite has only `q_proj`), so a name that matches
nothing is an error, never a silence.

- Routers of a mixture of experts are never adapted: experts collapse when they are.
- Where routed experts are fused into one tensor, PEFT (0.19 and newer) silently turns `gate_proj`,
  `up_proj` and `down_proj` into adapters of every routed expert, leaves the dense and shared layers
  of these names out, and refuses dropout. There only the attention is offered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from core.errors import ErrorCode, UsageError

ALL_LINEAR = "all-linear"
_ROUTERS = frozenset({"gate", "router", "shared_expert_gate"})
_NEVER = (".experts.", ".indexer.")
"""Routed experts one by one, and DeepSeek-V3.2's choice of tokens to look at: no gradient of the
loss passes through a choice, so an adapter there would stay at zero."""
_FEED_FORWARD = frozenset({"gate_proj", "up_proj", "down_proj", "w1", "w2", "w3"})


@dataclass(frozen=True)
class Targets:
    """What the wanted names came to."""

    names: tuple[str, ...]
    """For PEFT's `target_modules`, sorted."""
    counts: dict[str, int]
    """How many modules each name stands for."""

    @property
    def labels(self) -> tuple[str, ...]:
        """For people, the same in every language: "q_proj ×30"."""
        return tuple(f"{name} ×{count}" for name, count in self.counts.items())


def resolve_names(linear: Iterable[str], wanted: Iterable[str], *, fused_experts: bool) -> Targets:
    """Resolve `wanted` against the paths of a model's linear modules, the output head left out.

    A wanted name is "all-linear" or the end of a module's path: "q_proj", "self_attn.q_proj".

    Raises:
        UsageError: `train.targets_unknown` for names that match nothing that can have an adapter.
    """
    paths = [p for p in linear if _can_have_one(p, fused_experts)]
    leaves = sorted({_leaf(p) for p in paths})
    names = set(wanted)
    if ALL_LINEAR in names:
        names = (names - {ALL_LINEAR}) | set(leaves)
    counts = Counter({n: sum(_matches(p, n) for p in paths) for n in sorted(names)})
    if unknown := [name for name, count in counts.items() if not count]:
        raise UsageError(
            ErrorCode.TRAIN_TARGETS_UNKNOWN,
            names=", ".join(unknown),
            available=", ".join(leaves),
        )
    return Targets(tuple(counts), dict(counts))


def _can_have_one(path: str, fused_experts: bool) -> bool:
    leaf = _leaf(path)
    if leaf in _ROUTERS or any(part in f".{path}." for part in _NEVER):
        return False
    return not (fused_experts and leaf in _FEED_FORWARD)


def _matches(path: str, name: str) -> bool:
    return f".{path}".endswith(f".{name}")


def _leaf(path: str) -> str:
    return path.rpartition(".")[2]
