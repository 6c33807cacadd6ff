"""The spec of a training run: what to train, on what, and how."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from core.config.base import Spec

Precision = Literal["fp32", "bf16", "fp16", "auto"]


class LoraSpec(Spec):
    """Low-rank adapters (https://arxiv.org/abs/2106.09685): W + alpha/r * B A."""

    rank: int = Field(16, ge=1, le=512, description="Rank r of the adapter matrices.")
    alpha: float = Field(32, gt=0, description="Scale; the update is multiplied by alpha / rank.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout on the adapter's input.")
    target_modules: tuple[str, ...] = Field(
        ("q_proj", "v_proj"),
        min_length=1,
        description='Module names that get an adapter, or ("all-linear",).',
    )


class TrainSpec(Spec):
    """One supervised fine-tuning run with LoRA."""

    model: str = Field(description="Model id of the library or a folder.")
    data: str = Field(description="Dataset folder or file.")
    name: str = Field("", max_length=80, description="What the user calls the run.")
    lora: LoraSpec = LoraSpec()

    steps: int | None = Field(
        None, ge=1, description="Optimizer steps; empty means `epochs` over the data."
    )
    epochs: float = Field(3.0, gt=0, le=1000, description="Passes over the data.")
    batch_size: int = Field(4, ge=1, le=4096, description="Samples in a micro-step.")
    gradient_accumulation: int = Field(4, ge=1, le=4096, description="Micro-steps in a step.")
    max_length_tokens: int = Field(
        512, ge=16, le=1_048_576, description="Longer samples are cut at the end."
    )

    learning_rate: float = Field(3e-5, gt=0, le=1, description="Peak learning rate.")
    warmup_ratio: float = Field(0.1, ge=0, lt=1, description="Share of the steps to warm up in.")
    warmup_steps: int | None = Field(None, ge=0, description="Overrides `warmup_ratio`.")
    min_learning_rate_ratio: float = Field(
        0.1, ge=0, le=1, description="The cosine ends at this share of the peak."
    )
    weight_decay: float = Field(0.0, ge=0, le=1, description="AdamW's decoupled weight decay.")
    clip_grad_norm: float = Field(1.0, gt=0, description="Gradients are clipped to this L2 norm.")
    precision: Precision = Field("auto", description="auto: bf16 on a card that has it, else fp32.")
    seed: int = Field(0, ge=0, lt=2**32, description="Of data order, adapters and dropout.")
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="Where to train.")

    eval_every_steps: int = Field(50, ge=0, description="0: only before the first and at the end.")
    eval_max_samples: int = Field(200, ge=1, description="Evaluate on at most so many samples.")
    save_every_steps: int = Field(100, ge=0, description="0: only at the end and on request.")
    keep_checkpoints: int = Field(2, ge=1, description="Older checkpoints are removed.")
    sample_prompts: tuple[str, ...] = Field(
        (), max_length=8, description="Answered before the first and after the last step."
    )

    grad_norm_alarm: float = Field(1e3, gt=0, description="Alarm above this gradient norm.")
    stall_alarm_s: float = Field(
        60.0, gt=0, description="Alarm when no step ends for this long (or 10 median steps)."
    )

    @model_validator(mode="after")
    def _warmup_fits(self) -> TrainSpec:
        if self.steps is not None and (self.warmup_steps or 0) >= self.steps > 1:
            raise ValueError("warm-up must be shorter than the run")
        return self
