"""Architectures that the native engine runs, each over the modules that transformers loaded.

Whether one suits is answered from its configuration alone (`why_not`), without torch; a model
already loaded is looked at again while it is taken over (`take_over`), module by module.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    import torch

    from workers.serve.native.batch import StepBatch
    from workers.serve.native.linears import Adaptable
    from workers.serve.native.pool import KvLayout, KvPool

_FAMILIES = {
    "llama": "dense",
    "mistral": "dense",
    "qwen2": "dense",
    "qwen3": "dense",
    "qwen2_moe": "dense",
    "qwen3_moe": "dense",
    "deepseek_v2": "mla",
    "deepseek_v3": "mla",
}
"""Module here by transformers' model type."""
_ROPES = ("default", "linear", "dynamic", "llama3", "yarn")
"""One table of cosines and sines says all of these, up to the context that the model knows."""


class Unsuited(Exception):
    """The native engine does not run this model; says why in a few words."""


class Part(NamedTuple):
    """One linear module of transformers as a part of a fused projection."""

    projection: Adaptable
    number: int
    """Which of the projection's `sizes`."""


class Model(Protocol):
    """A whole model, as the runner sees it."""

    kv_layout: KvLayout
    linears: Mapping[str, Part]
    """By the names that adapters use: "model.layers.0.self_attn.q_proj", "lm_head"."""
    unadaptable: tuple[str, ...]
    """Beginnings of other names that an adapter of this model may have: of routed experts."""
    vocabulary: Mapping[str, torch.Tensor]
    """Embedding and head by transformers' names: adapters may bring copies of them."""
    adapter_ids: torch.Tensor | None
    """[slots]: 1 to the number of adapters there is room for; None without room for any."""

    def hidden(self, batch: StepBatch, pool: KvPool, *, due_only: bool = False) -> torch.Tensor:
        """New tokens through all layers and the final norm: [T, hidden].

        With `due_only` only those that give logits, in the order of `batch.logits_at`: [L, hidden].
        The others leave the last layer behind its cache.
        """

    def logits(self, hidden: torch.Tensor, adapters: torch.Tensor | None = None) -> torch.Tensor:
        """[L, hidden] to [L, vocabulary]; `adapters` [L] as in the batch."""


def why_not(config: Any) -> str:
    """Why the native engine does not run this model, in a few words; "" when it does.

    A sliding window is no reason: nobody is served beyond it (`context_tokens` of the loader).

    Args:
        config: transformers' configuration, or the mapping in `config.json`.
    """
    model_type = str(_get(config, "model_type"))
    family = _FAMILIES.get(model_type)
    if family is None or find_spec(f"{__name__}.{family}") is None:
        return f"architecture {model_type}"
    if (act := _get(config, "hidden_act") or "silu") not in ("silu", "swish"):
        return f"activation {act}"
    return _rope_reason(config)


def _rope_reason(config: Any) -> str:
    rope = _get(config, "rope_parameters") or _get(config, "rope_scaling") or {}
    kind = rope.get("rope_type") or rope.get("type") or "default"
    if kind not in _ROPES:
        return f"rotary embedding {kind}"
    share = rope.get("partial_rotary_factor") or _get(config, "partial_rotary_factor") or 1.0
    return "" if share == 1.0 else "partly rotated heads"


def _get(config: Any, name: str) -> Any:
    if isinstance(config, Mapping):
        return config.get(name)
    return getattr(config, name, None)


def suits(config: Any) -> bool:
    """Whether the native engine runs this model."""
    return not why_not(config)


def take_over(model: Any, positions: int) -> Model:
    """The native form of a loaded transformers model. Its weights are fused in place.

    Args:
        model: `PreTrainedModel` with a language model head, on its device.
        positions: how many the longest row can have.

    Raises:
        Unsuited: it computes something that the native engine does not.
    """
    if reason := why_not(model.config):
        raise Unsuited(reason)
    family = import_module(f"{__name__}.{_FAMILIES[model.config.model_type]}")
    built: Model = family.take_over(model, positions)
    return built
