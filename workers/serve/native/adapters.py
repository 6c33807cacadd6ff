"""LoRA adapters beside the weights: several at once, a token's own chosen inside the batch.

Folders as PEFT writes them, read without PEFT: `adapter_config.json` and
`adapter_model.safetensors`. Low-rank matrices of plain linear modules only
(https://arxiv.org/abs/2106.09685, and rank-stabilized scaling, https://arxiv.org/abs/2312.03732);
what needs more (DoRA, trained embeddings, ...) is refused with its name: merged into the weights
it can still be served.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from core.errors import AppError, ErrorCode
from workers.serve.native.linears import Adaptable, Lora
from workers.serve.native.models import Model

MOST_ADAPTERS = 8
"""Live at the same time, beside the base model."""
_RANK_STEP = 8
"""Room for ranks grows by this, so that the next adapter mostly finds it."""
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_KEY = re.compile(r"^(?:base_model\.model\.)?(.+)\.lora_([AB])(?:\.\w+)?\.weight$")
_REFUSED = (
    "modules_to_save",
    "layer_replication",
    "target_parameters",
    "trainable_token_indices",
    "alora_invocation_tokens",
    "arrow_config",
    "lora_bias",
)
"""Entries of the configuration that mean more than low-rank matrices, unless empty."""
_KNOWN_USES = ("use_rslora",)


@dataclass
class AdapterWeights:
    """One adapter in main memory."""

    index: int = 0
    pairs: dict[str, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)
    """By name of the linear module: A [rank, K], and B [N, rank] with the scale in it."""

    @property
    def rank(self) -> int:
        """The largest one."""
        return max(len(a) for a, _ in self.pairs.values())


class AdapterBank:
    """The adapters that a model has now. Changed between passes only.

    Attributes:
        version: another number whenever tensors were replaced: what was recorded with adapters
            before is void. Loading into room that is there, and unloading, keep it.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._loaded: dict[str, AdapterWeights] = {}
        self._slots = 0
        self._rank = 0
        self.version = 0

    @property
    def names(self) -> tuple[str, ...]:
        """In the order of loading."""
        return tuple(self._loaded)

    def index(self, name: str | None) -> int:
        """What `StepBatch.adapters` says for a token of this adapter; 0 is the base model.

        Raises:
            KeyError: no such adapter.
        """
        return 0 if name is None else self._loaded[name].index

    def load(self, name: str, folder: Path) -> int:
        """Take an adapter in; returns its index.

        Raises:
            AppError: `adapter.not_found`, `adapter.mismatch`, `adapter.unsupported`; then nothing
                has changed.
        """
        taken = {weights.index for weights in self._loaded.values()}
        free = [i for i in range(1, MOST_ADAPTERS + 1) if i not in taken]
        if name in self._loaded or not free:
            detail = "the name is taken" if name in self._loaded else f"{MOST_ADAPTERS} are loaded"
            raise AppError(ErrorCode.ADAPTER_UNSUPPORTED, path=str(folder), reason=detail)
        weights = read_adapter(folder, self._model)
        weights.index = free[0]
        self._make_room(weights)
        self._loaded[name] = weights
        self._fill(weights)
        return weights.index

    def unload(self, name: str) -> None:
        """Forget an adapter that no row uses any more. Unknown names are harmless."""
        weights = self._loaded.pop(name, None)
        if weights is None:
            return
        for lora in {id(p.lora): p.lora for p in self._projections(weights)}.values():
            if lora is not None:
                lora.a[weights.index - 1].zero_()
                lora.b[:, weights.index - 1].zero_()

    def _projections(self, weights: AdapterWeights) -> list[Adaptable]:
        return [self._model.linears[name].projection for name in weights.pairs]

    def _make_room(self, weights: AdapterWeights) -> None:
        grows = weights.index > self._slots or weights.rank > self._rank
        if not grows and all(p.lora is not None for p in self._projections(weights)):
            return
        while self._slots < weights.index:
            self._slots = max(1, 2 * self._slots)
        rank = -(-weights.rank // _RANK_STEP) * _RANK_STEP
        self._rank = max(self._rank, rank)
        everyone = [*self._loaded.values(), weights]
        wanted = {id(p): p for one in everyone for p in self._projections(one)}
        like = next(iter(wanted.values())).device
        self._model.adapter_ids = torch.arange(1, self._slots + 1, device=like)
        for projection in wanted.values():
            projection.lora = self._empty(projection)
        for one in self._loaded.values():
            self._fill(one)
        self.version += 1

    def _empty(self, projection: Adaptable) -> Lora:
        columns = self._rank * len(projection.sizes)
        dtype, device = self._model.kv_layout.dtype, projection.device
        a = torch.zeros(self._slots, columns, projection.inputs, dtype=dtype, device=device)
        b = torch.zeros(sum(projection.sizes), self._slots, columns, dtype=dtype, device=device)
        return Lora(a, b)

    def _fill(self, weights: AdapterWeights) -> None:
        for name, (a, b) in weights.pairs.items():
            projection, number = self._model.linears[name]
            assert projection.lora is not None
            rows = slice(sum(projection.sizes[:number]), sum(projection.sizes[: number + 1]))
            columns = slice(number * self._rank, number * self._rank + len(a))
            projection.lora.a[weights.index - 1, columns] = a.to(projection.lora.a)
            projection.lora.b[rows, weights.index - 1, columns] = b.to(projection.lora.b)


def read_adapter(folder: Path, model: Model) -> AdapterWeights:
    """Read a folder and hold it against the model.

    Raises:
        AppError: `adapter.not_found`, `adapter.mismatch`, `adapter.unsupported`.
    """
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise AppError(ErrorCode.ADAPTER_NOT_FOUND, path=str(folder / name))
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        tensors = _tensors(folder / WEIGHTS)
    except Exception as e:
        raise _mismatch(folder, f"{type(e).__name__}: {e}"[:500]) from e
    if reason := why_unsupported(config):
        raise AppError(ErrorCode.ADAPTER_UNSUPPORTED, path=str(folder), reason=reason)
    tensors = {key: t for key, t in tensors.items() if not _is_own(model, key, t)}
    return _paired(folder, config, tensors, model)


def why_unsupported(config: Mapping[str, Any]) -> str:
    """What in an adapter's configuration is more than LoRA; "" when nothing is."""
    if (kind := config.get("peft_type")) != "LORA":
        return f"peft_type {kind}"
    if (config.get("bias") or "none") != "none":
        return f"bias {config['bias']}"
    uses = [key for key in config if key.startswith("use_") and key not in _KNOWN_USES]
    strange = [key for key in (*_REFUSED, *uses) if config.get(key)]
    return ", ".join(strange)


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    loaded: dict[str, torch.Tensor] = load_file(path)
    return loaded


def _is_own(model: Model, key: str, tensor: torch.Tensor) -> bool:
    """A copy of the model's own embedding or head, which PEFT adds to an adapter of the head."""
    name = key.removeprefix("base_model.model.").replace(".base_layer.", ".")
    own = model.vocabulary.get(name)
    return own is not None and own.shape == tensor.shape and torch.equal(own, tensor.to(own))


def _paired(
    folder: Path,
    config: Mapping[str, Any],
    tensors: Mapping[str, torch.Tensor],
    model: Model,
) -> AdapterWeights:
    halves: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        match = _KEY.match(key)
        if match is None:
            raise AppError(ErrorCode.ADAPTER_UNSUPPORTED, path=str(folder), reason=key)
        halves.setdefault(match[1], {})[match[2]] = tensor
    weights = AdapterWeights()
    for name, pair in halves.items():
        _check(folder, name, pair, model)
        a, b = pair["A"], pair["B"]
        weights.pairs[name] = a, b.float() * _scaling(config, name, len(a))
    if not weights.pairs:
        raise _mismatch(folder, "it has no weights")
    return weights


def _check(folder: Path, name: str, pair: Mapping[str, torch.Tensor], model: Model) -> None:
    part = model.linears.get(name)
    if part is None and name.startswith(model.unadaptable):
        raise AppError(ErrorCode.ADAPTER_UNSUPPORTED, path=str(folder), reason=name)
    if part is None:
        raise _mismatch(folder, f"the model has no linear module {name}")
    if set(pair) != {"A", "B"}:
        raise _mismatch(folder, f"half of {name} is missing")
    a, b = pair["A"], pair["B"]
    wanted = part.projection.sizes[part.number], part.projection.inputs
    if (b.shape[0], a.shape[1]) != wanted or a.shape[0] != b.shape[1]:
        found = f"{tuple(b.shape)} x {tuple(a.shape)}"
        raise _mismatch(folder, f"{name} is {wanted[0]} x {wanted[1]}, the adapter has {found}")
    if not (bool(a.isfinite().all()) and bool(b.isfinite().all())):
        raise _mismatch(folder, f"{name} has values that are not numbers")


def _scaling(config: Mapping[str, Any], name: str, rank: int) -> float:
    alphas = config.get("alpha_pattern") or {}
    patterns = (key for key in alphas if re.match(rf"(.*\.)?({key})$", name))
    alpha = float(alphas.get(next(patterns, ""), config.get("lora_alpha", rank)))
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _mismatch(folder: Path, detail: str) -> AppError:
    return AppError(ErrorCode.ADAPTER_MISMATCH, path=str(folder), detail=detail)
