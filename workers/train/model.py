"""Loading of base model and tokenizer, refusals first, and the adapter on top."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.config.train import LoraSpec
from core.errors import AppError, ErrorCode, UsageError
from workers.train.device import Place
from workers.train.targets import resolve_targets

if TYPE_CHECKING:
    from core.catalog.model_info import ModelInfo


@dataclass(frozen=True)
class BaseModel:
    """A loaded model and what belongs to it."""

    model: Any
    """transformers `PreTrainedModel`."""
    tokenizer: Any
    path: Path
    context_tokens: int
    embedding_rows: int


def inspect(path: Path) -> ModelInfo:
    """The model's facts from its headers.

    Raises:
        UsageError: `model.*`: missing, damaged, pickled, with code of its own, not supported.
    """
    from core.catalog.inspection import inspect_model

    return inspect_model(path).usable()


def load_tokenizer(info: ModelInfo) -> Any:
    """The tokenizer beside the weights, or the one inside a GGUF file.

    Raises:
        AppError: `model.load_failed`.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(info.path, **_source(info))
    except (OSError, ValueError, KeyError, ImportError) as e:
        raise _load_failed(info, e) from e


def load_base(info: ModelInfo, tokenizer: Any, place: Place) -> BaseModel:
    """Load the weights, frozen, in the dtype of `place`. Never runs code that came with them.

    Raises:
        AppError: `model.load_failed`, or `model.weights_damaged` when tensors are missing
            (transformers would fill them with noise and only warn).
    """
    from transformers import AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # output.log is read by people, after the fact
    safetensors = {} if info.gguf_file else {"use_safetensors": True}
    placement = {"device_map": {"": 0}} if place.device == "cuda" else {}
    try:
        model, report = AutoModelForCausalLM.from_pretrained(
            info.path,
            dtype=place.base_dtype,
            output_loading_info=True,
            **safetensors,
            **placement,
            **_source(info),
        )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as e:
        if "memory" in str(e):
            raise
        raise _load_failed(info, e) from e
    if missing := sorted(report["missing_keys"]):
        raise AppError(
            ErrorCode.MODEL_WEIGHTS_DAMAGED,
            path=str(info.path),
            detail=f"{len(missing)} tensors are missing, first {missing[0]}",
        )
    model.requires_grad_(False)
    rows = int(model.get_input_embeddings().weight.shape[0])
    context = int(getattr(model.config, "max_position_embeddings", 0) or 0)
    return BaseModel(model, tokenizer, Path(str(info.path)), context, rows)


def add_adapter(base: BaseModel, lora: LoraSpec) -> tuple[Any, list[str]]:
    """The PEFT model with fp32 adapters, and the module names that got one.

    fp32 because Adam's small updates vanish in 16 bits, and because a loss scaler refuses fp16
    gradients.

    Raises:
        UsageError: `train.targets_unknown`.
    """
    import torch
    from peft import LoraConfig, get_peft_model

    targets = resolve_targets(base.model, lora.target_modules)
    config = LoraConfig(
        r=lora.r,
        lora_alpha=lora.lora_alpha,
        lora_dropout=lora.lora_dropout,
        target_modules=targets,
        bias="none",
        task_type="CAUSAL_LM",
    )
    model = get_peft_model(base.model, config)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(torch.float32)
    return model, targets


def check_vocabulary(base: BaseModel, largest_id: int) -> None:
    """Refuse a tokenizer that knows more tokens than the model has rows for.

    Raises:
        UsageError: `model.load_failed`.
    """
    if largest_id >= base.embedding_rows:
        raise UsageError(
            ErrorCode.MODEL_LOAD_FAILED,
            model=str(base.path),
            detail=f"the tokenizer gives id {largest_id}, the embedding has "
            f"{base.embedding_rows} rows",
        )


def _source(info: ModelInfo) -> dict[str, Any]:
    source: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    return source | ({"gguf_file": info.gguf_file} if info.gguf_file else {})


def _load_failed(info: ModelInfo, e: Exception) -> AppError:
    detail = f"{type(e).__name__}: {e}"[:500]
    return AppError(ErrorCode.MODEL_LOAD_FAILED, model=os.fspath(info.path or ""), detail=detail)
