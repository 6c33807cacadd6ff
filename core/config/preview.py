"""The spec of a look at the data as the model will see it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from core.config.base import Spec
from core.config.lora import LoraSpec
from core.config.train import TrainSpec

_SHARED = (
    "model",
    "data",
    "stage",
    "assistant_only_loss",
    "thinking",
    "packing",
    "seq_len",
    "per_device_train_batch_size",
    "method",
    "lora",
    "seed",
)


class PreviewSpec(Spec):
    """Which samples to show, and how a training would read them. No weights are loaded."""

    model: str = Field(description="Model id of the library or a folder.")
    data: str = Field(description="Dataset folder or file.")

    stage: Literal["sft", "pretrain"] = Field("sft", description="As in the training's spec.")
    assistant_only_loss: bool = Field(True, description="As in the training's spec.")
    thinking: Literal["keep", "strip"] = Field("keep", description="As in the training's spec.")
    packing: bool = Field(False, description="As in the training's spec.")
    seq_len: int = Field(512, ge=16, le=1_048_576, description="As in the training's spec.")
    per_device_train_batch_size: int = Field(4, ge=1, description="As in the training's spec.")
    method: Literal["lora", "full"] = Field("lora", description="As in the training's spec.")
    lora: LoraSpec = LoraSpec()
    seed: int = Field(0, ge=0, lt=2**32, description="Of the random choice.")

    samples: tuple[int, ...] = Field(
        (), max_length=64, description="Numbers of training samples; empty: `pick` chooses."
    )
    pick: Literal["first", "random", "longest"] = Field(
        "first", description="Which samples are shown when none are named."
    )
    count: int = Field(3, ge=1, le=64, description="How many samples `pick` chooses.")
    max_samples: int = Field(
        20_000, ge=1, description="Lengths are counted over at most so many samples."
    )

    @classmethod
    def of(cls, spec: TrainSpec, **choice: object) -> PreviewSpec:
        """The preview of a training; `choice` sets `samples`, `pick`, `count` or `seed`."""
        values = spec.model_dump(include=set(_SHARED))
        return cls.parse(values | choice)
