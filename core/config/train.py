"""The spec of a training run: what to train, on what, and how.

Fields keep the names of transformers' `TrainingArguments`, PEFT and bitsandbytes where those have
one, so that what a user knows from there works here.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from core.config.base import Spec
from core.config.guard import GuardLevel, GuardSpec
from core.config.lora import LoraSpec
from core.config.parallel import ParallelSpec

__all__ = ["GuardSpec", "LoraSpec", "ParallelSpec", "TrainSpec"]

Precision = Literal["fp32", "bf16", "fp16", "auto"]
Optimizer = Literal[
    "adamw_torch_fused", "adamw_torch", "adamw_8bit", "paged_adamw_32bit", "paged_adamw_8bit"
]
Tracker = Literal["tensorboard", "wandb"]

_RENAMED = {
    "steps": "max_steps",
    "epochs": "num_train_epochs",
    "batch_size": "per_device_train_batch_size",
    "gradient_accumulation": "gradient_accumulation_steps",
    "max_length_tokens": "seq_len",
    "min_learning_rate_ratio": "min_lr_ratio",
    "clip_grad_norm": "max_grad_norm",
    "eval_every_steps": "eval_steps",
    "save_every_steps": "save_steps",
    "keep_checkpoints": "save_total_limit",
}
_RENAMED_LORA = {"rank": "r", "alpha": "lora_alpha", "dropout": "lora_dropout"}
"""Names of version 0.1; run folders and spec files of that time are still read."""


def current_names(values: dict[str, Any]) -> dict[str, Any]:
    """The same values under today's field names; of an old and a new name the later one wins."""
    values = {_RENAMED.get(key, key): value for key, value in values.items()}
    lora = values.get("lora")
    if isinstance(lora, dict):
        values["lora"] = {_RENAMED_LORA.get(key, key): value for key, value in lora.items()}
    return values


class TrainSpec(Spec):
    """One fine-tuning run."""

    model: str = Field(description="Model id of the library or a folder.")
    data: str = Field(description="Dataset folder or file.")
    name: str = Field("", max_length=80, description="What the user calls the run.")

    # What is trained
    method: Literal["lora", "full"] = Field(
        "lora", description="lora: an adapter on the frozen model; full: every weight."
    )
    lora: LoraSpec = LoraSpec()
    load_in_4bit: bool = Field(
        False, description="Load the frozen model in NF4 (QLoRA, https://arxiv.org/abs/2305.14314)."
    )
    bnb_4bit_use_double_quant: bool = Field(
        True, description="Quantize the 4-bit scales as well: 0.4 bit a weight less."
    )
    load_in_8bit: bool = Field(False, description="Load the frozen model in 8 bits (LLM.int8).")

    # What is learned from the data
    stage: Literal["sft", "pretrain"] = Field(
        "sft",
        description="sft: conversations and answers; pretrain: plain text, every token, in rows "
        "of the full length.",
    )
    assistant_only_loss: bool = Field(
        True, description="Learn only what the assistant says; off: every token of a conversation."
    )
    thinking: Literal["keep", "strip"] = Field(
        "keep", description="What happens to <think> parts of the answers."
    )
    packing: bool = Field(
        False, description="Put several samples into one row, without mixing them."
    )

    # How long and how much
    max_steps: int | None = Field(
        None, ge=1, description="Optimizer steps; empty means `num_train_epochs` over the data."
    )
    num_train_epochs: float = Field(3.0, gt=0, le=1000, description="Passes over the data.")
    per_device_train_batch_size: int = Field(
        4, ge=1, le=4096, description="Samples in a micro-step (rows of `seq_len` when packed)."
    )
    gradient_accumulation_steps: int = Field(4, ge=1, le=4096, description="Micro-steps in a step.")
    seq_len: int = Field(512, ge=16, le=1_048_576, description="Longer samples are cut at the end.")

    # Optimizer
    optim: Optimizer = Field("adamw_torch_fused", description="AdamW and where its state lives.")
    optimizer_offload: bool = Field(
        False, description="Keep the optimizer's state in the computer's memory."
    )
    learning_rate: float = Field(3e-5, gt=0, le=1, description="Peak learning rate.")
    lr_scheduler_type: Literal["cosine", "linear", "constant"] = Field(
        "cosine", description="What follows the warm-up."
    )
    warmup_ratio: float = Field(0.1, ge=0, lt=1, description="Share of the steps to warm up in.")
    warmup_steps: int | None = Field(None, ge=0, description="Overrides `warmup_ratio`.")
    min_lr_ratio: float = Field(
        0.1, ge=0, le=1, description="Cosine and linear end at this share of the peak."
    )
    weight_decay: float = Field(0.0, ge=0, le=1, description="AdamW's decoupled weight decay.")
    max_grad_norm: float = Field(1.0, gt=0, description="Gradients are clipped to this L2 norm.")

    # Machine
    precision: Precision = Field("auto", description="auto: bf16 on a card that has it, else fp32.")
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="Where to train.")
    parallel: ParallelSpec = ParallelSpec()
    gradient_checkpointing: Literal["off", "selective", "full"] = Field(
        "off", description="Compute activations again instead of keeping them."
    )
    activation_offload: bool = Field(
        False, description="Keep checkpointed activations in the computer's memory."
    )
    chunked_loss: bool = Field(
        True, description="Compute the loss piece by piece, never holding all logits."
    )
    fast_kernels: bool = Field(
        True, description="DeepDeck's own kernels where card and model have them."
    )
    use_liger_kernel: bool = Field(False, description="Kernels of the package liger-kernel.")
    torch_compile: bool = Field(False, description="Compile each layer: slow start, faster steps.")
    seed: int = Field(0, ge=0, lt=2**32, description="Of data order, adapters and dropout.")

    # Looking and keeping
    eval_steps: int = Field(50, ge=0, description="0: only before the first and at the end.")
    eval_max_samples: int = Field(200, ge=1, description="Evaluate on at most so many samples.")
    save_steps: int = Field(100, ge=0, description="0: only at the end and on request.")
    save_total_limit: int = Field(2, ge=1, description="Older checkpoints are removed.")
    keep_best: bool = Field(
        True, description="Keep the checkpoint with the lowest evaluation loss as well."
    )
    sample_prompts: tuple[str, ...] = Field(
        (), max_length=8, description="Answered at every evaluation."
    )
    report_to: tuple[Tracker, ...] = Field((), description="Other places that get the curves.")

    # Safety
    dry_run: bool = Field(
        True, description="Try the longest micro-batch before the first step, and say what it took."
    )
    guard: GuardLevel = Field(
        "notify", description="How far automation goes when the run goes wrong."
    )
    rollback: GuardSpec = GuardSpec()
    oom_ladder: bool = Field(
        False, description="When memory runs out: take the next saving measure and go on."
    )
    grad_norm_alarm: float = Field(1e3, gt=0, description="Alarm above this gradient norm.")
    stall_alarm_s: float = Field(
        60.0, gt=0, description="Alarm when no step ends for this long (or 10 median steps)."
    )

    @property
    def window_samples(self) -> int:
        """Samples (rows, when packed) of one optimizer step over all processes."""
        own = self.per_device_train_batch_size * self.gradient_accumulation_steps
        return own * self.parallel.data_ranks

    @model_validator(mode="before")
    @classmethod
    def _old_names(cls, values: Any) -> Any:
        return current_names(values) if isinstance(values, dict) else values

    @model_validator(mode="after")
    def _fits_together(self) -> TrainSpec:
        if self.max_steps is not None and (self.warmup_steps or 0) >= self.max_steps > 1:
            raise ValueError("warm-up must be shorter than the run")
        if self.load_in_4bit and self.load_in_8bit:
            raise ValueError("load_in_4bit and load_in_8bit exclude each other")
        if self.method == "full" and (self.load_in_4bit or self.load_in_8bit):
            raise ValueError("quantized weights cannot be trained; use method lora")
        return self
