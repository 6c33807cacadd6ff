"""Folding an adapter into the weights of its base model.

Each sum is made in fp32 and rounded once, to the dtype that is written. Never into 4-bit weights:
rounding to NF4 again would throw away most of what was learned
(https://github.com/huggingface/peft/issues/2105).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from core.errors import AppError, ErrorCode

_NAMED = 5
"""So many modules are named in an error."""


def with_adapter(model: Any, adapter: Path) -> Any:
    """PEFT's model around `model`, ready to compute.

    Raises:
        AppError: `adapter.mismatch`.
    """
    from peft import PeftModel

    try:
        return PeftModel.from_pretrained(model, str(adapter)).eval()
    except (ValueError, RuntimeError, KeyError, OSError) as e:
        detail = str(e).strip().splitlines()[0][:300] if str(e).strip() else type(e).__name__
        raise AppError(ErrorCode.ADAPTER_MISMATCH, path=str(adapter), detail=detail) from e


def merge(peft_model: Any, tell: Callable[[float], None] = lambda _fraction: None) -> Any:
    """The base model with the adapter in its weights; `peft_model` is used up.

    Args:
        peft_model: an adapter on weights that are not quantized.
        tell: told the fraction that is done.

    Raises:
        AppError: `export.no_change` when the weights of an adapted module stayed as they were: the
            merge would look done and change nothing (https://github.com/huggingface/peft/issues/2586).
    """
    layers = list(_adapted(peft_model))
    unchanged = []
    for number, (name, layer) in enumerate(layers):
        if not _merge_layer(layer):
            unchanged.append(name)
        tell((number + 1) / max(len(layers), 1))
    if unchanged or not layers:
        raise AppError(
            ErrorCode.EXPORT_NO_CHANGE,
            modules=", ".join(unchanged[:_NAMED]) + (", …" if len(unchanged) > _NAMED else ""),
            count=len(unchanged),
        )
    return peft_model.unload()


def _adapted(peft_model: Any) -> Iterator[tuple[str, Any]]:
    from peft.tuners.lora import LoraLayer

    for name, module in peft_model.base_model.model.named_modules():
        if isinstance(module, LoraLayer):
            yield name, module


def _merge_layer(layer: Any) -> bool:
    """Whether anything changed."""
    weight = layer.get_base_layer().weight
    before = weight.data
    weight.data = before.to(torch.float32, copy=True)
    layer.merge(safe_merge=True)  # safe: refuses a sum that is not finite
    weight.data = weight.data.to(before.dtype)
    return not torch.equal(weight.data, before)
