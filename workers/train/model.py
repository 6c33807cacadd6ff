"""Loading of base model and tokenizer, refusals first."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import AppError, ErrorCode, UsageError
from core.protocol.events import Finding
from workers.train.adapters import add_adapter as add_adapter
from workers.train.device import Place
from workers.train.model_files import stored_dtype
from workers.train.parallel.strategies import Strategy
from workers.train.quantization import hold_still, quantization_config

if TYPE_CHECKING:
    from core.catalog.model_info import ModelInfo
    from core.config.train import TrainSpec

VOCABULARY_GREW = "vocabulary_grew"


@dataclass(frozen=True)
class BaseModel:
    """A loaded model and what belongs to it."""

    model: Any
    """transformers `PreTrainedModel`."""
    tokenizer: Any
    path: Path
    context_tokens: int
    embedding_rows: int
    stored_dtype: Any = None
    """torch dtype of the weights on disk: what a trained model is written in."""


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


def load_base(
    info: ModelInfo,
    tokenizer: Any,
    place: Place,
    spec: TrainSpec | None = None,
    strategy: Strategy | None = None,
) -> BaseModel:
    """Load the weights, frozen. Never runs code that came with them.

    Frozen weights are loaded in the dtype of `place`, or quantized as `spec` says. Weights that are
    trained themselves (`method` full) are loaded in fp32 whatever the forward pass computes in: a
    step of 3e-5 is lost in a bf16 weight of 0.02, whose neighbors are 6e-5 to 1e-4 away. Autocast
    makes the 16-bit copies that the products use; memory is that of bf16 weights with an fp32
    master copy.

    Raises:
        UsageError: `train.needs_package`.
        AppError: `model.load_failed`, or `model.weights_damaged` when tensors are missing
            (transformers would fill them with noise and only warn).
    """
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # output.log is read by people, after the fact
    options: dict[str, Any] = {} if info.gguf_file else {"use_safetensors": True}
    if place.device == "cuda":
        options["device_map"] = {"": 0}
    quantized = quantization_config(spec, place.base_dtype) if spec else None
    if quantized is not None:
        options["quantization_config"] = quantized
    is_full = spec is not None and spec.method == "full"
    strategy = strategy or Strategy.alone()
    options |= strategy.load_arguments()
    try:
        with strategy.loading():
            model, report = AutoModelForCausalLM.from_pretrained(
                info.path,
                dtype=torch.float32 if is_full else place.base_dtype,
                output_loading_info=True,
                **options,
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
    hold_still(model)
    stored = stored_dtype(info.dtype)
    context = int(getattr(model.config, "max_position_embeddings", 0) or 0)
    return BaseModel(model, tokenizer, Path(str(info.path)), context, _rows(model), stored)


def fit_vocabulary(base: BaseModel, largest_id: int, *, trains_all: bool) -> list[Finding]:
    """Make sure that the embedding has a row for every token of the data.

    Full fine-tuning trains all rows, so missing ones are added (with the mean of the others). An
    adapter would leave new rows as they are born, so there they are refused.

    Returns:
        A note when rows were added.

    Raises:
        UsageError: `model.vocabulary_too_small`.
    """
    if largest_id < base.embedding_rows:
        return []
    if not trains_all:
        check_vocabulary(base, largest_id)
    before, wanted = base.embedding_rows, max(len(base.tokenizer), largest_id + 1)
    base.model.resize_token_embeddings(wanted, mean_resizing=False)
    _fill_with_mean(base.model, before)
    return [Finding(code=VOCABULARY_GREW, params={"before": before, "after": wanted})]


def check_vocabulary(base: BaseModel, largest_id: int) -> None:
    """Refuse a tokenizer that knows more tokens than the model has rows for.

    Raises:
        UsageError: `model.vocabulary_too_small`.
    """
    if largest_id >= base.embedding_rows:
        raise UsageError(
            ErrorCode.MODEL_VOCABULARY_TOO_SMALL,
            model=str(base.path),
            token_id=largest_id,
            rows=base.embedding_rows,
        )


def _fill_with_mean(model: Any, before: int) -> None:
    import torch

    head = model.get_output_embeddings()
    with torch.no_grad():
        for module in (model.get_input_embeddings(), head):
            if module is not None:
                module.weight[before:] = module.weight[:before].mean(0)


def _rows(model: Any) -> int:
    return int(model.get_input_embeddings().weight.shape[0])


def _source(info: ModelInfo) -> dict[str, Any]:
    source: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    return source | ({"gguf_file": info.gguf_file} if info.gguf_file else {})


def _load_failed(info: ModelInfo, e: Exception) -> AppError:
    detail = f"{type(e).__name__}: {e}"[:500]
    return AppError(ErrorCode.MODEL_LOAD_FAILED, model=os.fspath(info.path or ""), detail=detail)
