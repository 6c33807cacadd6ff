"""What of a loaded model is trained: a low-rank adapter on frozen weights, or every weight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from core.config.lora import LoraSpec
from core.config.train import TrainSpec
from core.errors import ErrorCode, UsageError
from core.protocol.events import Finding
from workers.train.targets import find_targets

if TYPE_CHECKING:
    from workers.train.device import Place
    from workers.train.model import BaseModel

ADAPTER_KEPT_FP32 = "adapter_kept_fp32"
MAGNITUDE = "lora_magnitude_vector"
"""In the names of DoRA's magnitudes."""


@dataclass(frozen=True)
class Trained:
    """A model of which some or all weights learn."""

    model: Any
    """PEFT's model around the base, or the base itself."""
    targets: tuple[str, ...] = ()
    """Names of the modules with an adapter; empty for full fine-tuning."""
    notes: tuple[Finding, ...] = ()

    @property
    def is_adapter(self) -> bool:
        """Whether what is trained is an adapter."""
        return bool(self.targets)


def make_trainable(base: BaseModel, spec: TrainSpec, place: Place) -> Trained:
    """Attach the adapter that `spec` describes, or free all weights.

    Raises:
        UsageError: `train.targets_unknown`; `train.combination` for all weights of a quantized
            model.
    """
    if spec.method == "full":
        if any(not p.is_floating_point() for p in base.model.parameters()):
            # The files themselves hold quantized weights.
            reason = "combination.quantized_full"
            raise UsageError(ErrorCode.TRAIN_COMBINATION, reason=reason)
        base.model.requires_grad_(True)
        return Trained(base.model)
    lora, notes = spec.lora, list[Finding]()
    if lora.dtype == "bf16" and place.dtype == "fp16":
        # A card that trains in fp16 mostly has no bf16, and a loss scaler wants fp32 gradients.
        lora = lora.model_copy(update={"dtype": "fp32"})
        notes.append(Finding(code=ADAPTER_KEPT_FP32))
    model, targets = add_adapter(base, lora)
    return Trained(model, tuple(targets), tuple(notes))


def add_adapter(base: BaseModel, lora: LoraSpec) -> tuple[Any, list[str]]:
    """The PEFT model with its adapters, and the module names that got one.

    Adapters are fp32 unless asked otherwise: Adam's small updates vanish in 16 bits, and a loss
    scaler refuses fp16 gradients. bf16 adapters save a third of the activations' memory; DoRA's
    magnitudes stay fp32 even then, a relative step below 2^-8 would never move them.

    Raises:
        UsageError: `train.targets_unknown`.
    """
    from peft import LoraConfig, get_peft_model

    targets = list(find_targets(base.model, lora.target_modules).names)
    config = LoraConfig(
        r=lora.r,
        lora_alpha=lora.lora_alpha,
        lora_dropout=lora.lora_dropout,
        use_rslora=lora.use_rslora,
        use_dora=lora.use_dora,
        target_modules=targets,
        bias="none",
        task_type="CAUSAL_LM",
    )
    model = get_peft_model(base.model, config, autocast_adapter_dtype=lora.dtype == "fp32")
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(_adapter_dtype(name, lora))
    return model, targets


def count_parameters(model: Any) -> tuple[int, int]:
    """Trainable ones and all, packed 4-bit weights counted as what they stand for."""
    if hasattr(model, "get_nb_trainable_parameters"):
        trainable, total = model.get_nb_trainable_parameters()
        return int(trainable), int(total)
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return sum(n for n, trains in sizes if trains), sum(n for n, _ in sizes)


def _adapter_dtype(name: str, lora: LoraSpec) -> torch.dtype:
    wide = lora.dtype == "fp32" or MAGNITUDE in name
    return torch.float32 if wide else torch.bfloat16
