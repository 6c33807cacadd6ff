"""The adapter's part of a training spec; field names are PEFT's."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from core.config.base import Spec


class LoraSpec(Spec):
    """Low-rank adapters (https://arxiv.org/abs/2106.09685): W + lora_alpha/r * B A."""

    r: int = Field(16, ge=1, le=512, description="Rank of the adapter matrices.")
    lora_alpha: float = Field(32, gt=0, description="Scale: the update is multiplied by alpha / r.")
    lora_dropout: float = Field(0.0, ge=0, lt=1, description="Dropout on the adapter's input.")
    use_rslora: bool = Field(
        False, description="Scale by alpha / sqrt(r) (https://arxiv.org/abs/2312.03732)."
    )
    use_dora: bool = Field(
        False, description="Train magnitude and direction apart (https://arxiv.org/abs/2402.09353)."
    )
    target_modules: tuple[str, ...] = Field(
        ("q_proj", "v_proj"),
        min_length=1,
        description='Module names that get an adapter, or ("all-linear",).',
    )
    dtype: Literal["fp32", "bf16"] = Field(
        "fp32", description="Of the adapter's weights; bf16 saves memory and some precision."
    )
