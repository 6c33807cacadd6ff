"""A frozen model in 4 or 8 bits through bitsandbytes, and what really became of its weights.

NF4 with double quantization: QLoRA (https://arxiv.org/abs/2305.14314); 8 bits: LLM.int8
(https://arxiv.org/abs/2208.07339). bitsandbytes quantizes linear modules. Routed experts of
DeepSeek-V2 and V3 are fused into tensors of three dimensions and stay as they are
(https://github.com/bitsandbytes-foundation/bitsandbytes/issues/1849): 92 % of V2-Lite. Nobody may
believe to have a 4-bit model then, so it is measured and said.
"""

from __future__ import annotations

from collections import Counter
from importlib.util import find_spec
from typing import Any, Literal

import torch

from core.config.train import TrainSpec
from core.errors import ErrorCode, UsageError
from core.protocol.events import Finding

Quantization = Literal["none", "nf4", "int8"]

STAYED_WIDE = "quantization_stayed_16bit"
_GIB = 1024**3
_TOLERANCE = 1.05
"""Bytes after loading over what was expected; above it the difference is said."""
_BYTES_A_WEIGHT = {"nf4": 0.5 + 4 / 64, "nf4_double": 0.5 + 1 / 64 + 4 / (64 * 256), "int8": 1.0}
"""Blocks of 64 with an fp32 scale; double quantization: 8-bit scales in blocks of 256."""


def quantization_of(spec: TrainSpec) -> Quantization:
    """Of the frozen weights, as in `train.plan`."""
    return "nf4" if spec.load_in_4bit else "int8" if spec.load_in_8bit else "none"


def quantization_config(spec: TrainSpec, compute_dtype: torch.dtype) -> Any | None:
    """The `BitsAndBytesConfig` of transformers, or None for a model that stays as it is.

    Raises:
        UsageError: `train.needs_package`.
    """
    kind = quantization_of(spec)
    if kind == "none":
        return None
    need_bitsandbytes("load_in_4bit" if kind == "nf4" else "load_in_8bit")
    from transformers import BitsAndBytesConfig

    if kind == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=spec.bnb_4bit_use_double_quant,
        bnb_4bit_compute_dtype=compute_dtype,
    )


def hold_still(model: Any) -> None:
    """Keep bitsandbytes from repacking 4-bit weights at the first evaluation.

    On processors with AVX512-BF16 it does so in version 0.50, with scales rounded to bf16 and no
    exact way back: evaluating would change the very weights that an adapter is fitted to.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def need_bitsandbytes(feature: str) -> None:
    """Refuse before anything is loaded.

    Raises:
        UsageError: `train.needs_package`.
    """
    if find_spec("bitsandbytes") is None:
        raise UsageError(ErrorCode.TRAIN_NEEDS_PACKAGE, package="bitsandbytes", feature=feature)


def wide_weights_notes(model: Any, spec: TrainSpec) -> list[Finding]:
    """What to tell when the model is larger than its name "4-bit" or "8-bit" promises.

    Expected are all matrices inside the layers in few bits, and the rest as loaded.
    """
    kind = quantization_of(spec)
    if kind == "none":
        return []
    key = "nf4_double" if kind == "nf4" and spec.bnb_4bit_use_double_quant else kind
    wide = {n: p for n, p in model.named_parameters() if _is_wide_matrix(n, p)}
    measured = model_bytes(model)
    kept = sum(p.nbytes for p in wide.values())
    expected = measured - kept + sum(p.numel() for p in wide.values()) * _BYTES_A_WEIGHT[key]
    if measured <= expected * _TOLERANCE:
        return []
    facts = {
        "tensors": ", ".join(f"{name} ×{n}" for name, n in _grouped(wide).items()),
        "wide_gib": round(kept / _GIB, 2),
        "measured_gib": round(measured / _GIB, 2),
        "expected_gib": round(expected / _GIB, 2),
    }
    return [Finding(code=STAYED_WIDE, params=facts)]


def model_bytes(model: Any) -> int:
    """Bytes of all weights and buffers, the scales of quantized ones included."""
    own: int = sum(t.nbytes for t in (*model.parameters(), *model.buffers()))
    return own + sum(_scale_bytes(p) for p in model.parameters())


def _scale_bytes(parameter: Any) -> int:
    """Of a bitsandbytes `Params4bit` (block scales, and theirs) or `Int8Params` (row scales)."""
    rows = getattr(parameter, "SCB", None)
    state = getattr(parameter, "quant_state", None)
    found = 0 if rows is None else int(rows.nbytes)
    while state is not None:
        found += sum(t.nbytes for t in (state.absmax, state.code) if t is not None)
        state = getattr(state, "state2", None)
    return found


def _is_wide_matrix(name: str, parameter: torch.Tensor) -> bool:
    inside = ".layers." in name and parameter.ndim >= 2
    return inside and parameter.dtype.is_floating_point and parameter.dtype.itemsize >= 2


def _grouped(tensors: dict[str, torch.Tensor]) -> Counter[str]:
    """By what stands behind the layer's number: "mlp.experts.down_proj"."""
    return Counter(name.partition(".layers.")[2].partition(".")[2] for name in tensors)
