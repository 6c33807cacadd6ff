"""Liger's kernels (https://github.com/linkedin/Liger-Kernel), an optional extra, by its own entry.

For those who want them instead of ours. They patch transformers for the whole process.
"""

from __future__ import annotations

import importlib.util
from typing import Any

_ENTRIES = {
    "llama": "apply_liger_kernel_to_llama",
    "qwen2": "apply_liger_kernel_to_qwen2",
    "qwen3": "apply_liger_kernel_to_qwen3",
}


def has_liger() -> bool:
    """The extra `speed` is installed."""
    return importlib.util.find_spec("liger_kernel") is not None


def apply_liger(model: Any, *, fused_loss: bool = False) -> str | None:
    """Patch a transformers model, before adapters are put on it.

    Args:
        model: Llama, Qwen2 or Qwen3.
        fused_loss: also the model's own loss; ours does not use it.

    Returns:
        None when done, else why not: "not_installed" or "not_for_architecture".
    """
    if not has_liger():
        return "not_installed"
    kind = model.config.model_type
    if kind not in _ENTRIES:
        return "not_for_architecture"
    import liger_kernel.transformers as liger

    getattr(liger, _ENTRIES[kind])(
        rope=True,
        rms_norm=True,
        swiglu=True,
        cross_entropy=False,
        fused_linear_cross_entropy=fused_loss,
        model=model,
    )
    return None
