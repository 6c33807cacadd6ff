"""From a folder to a model on a device, with its adapter, saying how far it is."""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from core.config.serve import ServeSpec
from core.errors import AppError, ErrorCode
from workers.serve.engines.base import Progress
from workers.serve.engines.sources import source_arguments

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_UNBATCHABLE_LAYERS = {"linear_attention", "conv", "hybrid", "hybrid_sliding", "indexed_attention"}
DEFAULT_CONTEXT_TOKENS = 2048
ADAPTER = "adapter"
"""The engine's name of the adapter; None is the base model."""


class Adapters:
    """Which of base model and adapter the next pass uses."""

    def __init__(self, peft_model: Any | None, *, merged: bool = False) -> None:
        self._peft = peft_model
        self.names: tuple[str | None, ...] = (None,)
        if merged:
            self.names = (ADAPTER,)
        elif peft_model is not None:
            self.names = (ADAPTER, None)
        self._current: str | None = ADAPTER if peft_model is not None else None

    def use(self, name: str | None) -> None:
        """Switch, if it is another one than now."""
        if self._peft is None or name == self._current:
            return
        tuner = self._peft.base_model
        (tuner.enable_adapter_layers if name else tuner.disable_adapter_layers)()
        self._current = name


@dataclass(frozen=True)
class LoadedModel:
    """A model that is ready to run."""

    model: Any
    device: torch.device
    dtype: str
    vocab_size: int
    max_context_tokens: int
    eos_token_ids: frozenset[int]
    adapters: Adapters


def load_model(spec: ServeSpec, progress: Progress) -> LoadedModel:
    """Read weights and adapter.

    Raises:
        AppError: `model.not_found`, `model.unsupported`, `model.load_failed`,
            `adapter.not_found`, `adapter.mismatch`.
    """
    device = pick_device(spec.device)
    dtype_name = pick_dtype(spec.precision, device)
    _leave_a_core(device)
    progress("loading_model", 0.0, Path(spec.model).name)
    model = _load_weights(spec, _DTYPES[dtype_name], progress)
    _refuse_unbatchable(model.config, spec.model)
    peft_model = None
    if spec.adapter is not None:
        progress("loading_model", 0.95, Path(spec.adapter).name)
        peft_model = _load_adapter(model, Path(spec.adapter))
    merged = peft_model is not None and spec.merge_adapter
    if peft_model is not None and merged:
        model, peft_model = peft_model.merge_and_unload(), None
    model.to(device).eval()
    return LoadedModel(
        model=model,
        device=device,
        dtype=dtype_name,
        vocab_size=int(model.get_input_embeddings().num_embeddings),
        max_context_tokens=context_tokens(model.config),
        eos_token_ids=_eos_token_ids(model),
        adapters=Adapters(peft_model, merged=merged),
    )


def pick_device(wanted: str) -> torch.device:
    """`auto` is the first card, else the processor.

    Raises:
        AppError: `model.load_failed` when a card is asked for and there is none.
    """
    if wanted == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    device = torch.device(wanted)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise AppError(
            ErrorCode.MODEL_LOAD_FAILED, model=wanted, detail=f"there is no device {wanted}"
        )
    return device


def pick_dtype(wanted: str, device: torch.device) -> str:
    """`auto`: bf16 on a card that computes in it, fp16 on an older card, fp32 on the processor."""
    if wanted != "auto":
        return wanted
    if device.type != "cuda":
        return "fp32"
    return "bf16" if torch.cuda.get_device_capability(device)[0] >= 8 else "fp16"


def context_tokens(config: Any) -> int:
    """Positions that the model knows; a sliding window shorter than that is the limit.

    The cache keeps whole rows and masks by length only: exact up to the window, so no further.
    """
    text = config.get_text_config()
    known = int(getattr(text, "max_position_embeddings", None) or DEFAULT_CONTEXT_TOKENS)
    kinds = set(getattr(text, "layer_types", None) or ())
    window = getattr(text, "sliding_window", None)
    slides = bool(kinds & {"sliding_attention", "chunked_attention"}) or (not kinds and window)
    return min(known, int(window)) if slides and window else known


def check_logits(logits: torch.Tensor, model: str) -> None:
    """Refuse a model whose first answer is not a number.

    Raises:
        AppError: `model.load_failed`.
    """
    if not bool(torch.isfinite(logits).all()):
        raise AppError(
            ErrorCode.MODEL_LOAD_FAILED,
            model=Path(model).name,
            detail="the model's output is not finite; another precision may help",
        )


def _load_weights(spec: ServeSpec, dtype: torch.dtype, progress: Progress) -> Any:
    from transformers import AutoModelForCausalLM

    path = Path(spec.model)
    if not path.exists():
        raise AppError(ErrorCode.MODEL_NOT_FOUND, model=spec.model)
    source, arguments = source_arguments(path)
    if "gguf_file" not in arguments:
        arguments["use_safetensors"] = True
    try:
        with _watched_loading(progress, path.name, from_gguf="gguf_file" in arguments):
            return AutoModelForCausalLM.from_pretrained(
                source, dtype=dtype, attn_implementation="sdpa", **arguments
            )
    except AppError:
        raise
    except Exception as e:
        raise AppError(
            ErrorCode.MODEL_LOAD_FAILED, model=path.name, detail=f"{type(e).__name__}: {e}"[:500]
        ) from e


_BARS = (
    # transformers' modules with a progress bar, and the part of the loading that each stands for
    ("transformers.modeling_gguf_pytorch_utils", 0.0, 0.8),
    ("transformers.core_model_loading", 0.8, 0.9),
)


@contextlib.contextmanager
def _watched_loading(progress: Progress, name: str, *, from_gguf: bool) -> Iterator[None]:
    """Turn transformers' progress bars into `run.phase` events."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    with contextlib.ExitStack() as restored:
        for module_name, start, end in _BARS:
            module = importlib.import_module(module_name)
            if not hasattr(module, "tqdm"):
                continue
            low = start if from_gguf else 0.0
            bar = functools.partial(_Bar, progress, name, low, end)
            restored.callback(setattr, module, "tqdm", module.tqdm)
            setattr(module, "tqdm", bar)  # noqa: B010 - mypy knows the module's own type
        yield


class _Bar:
    """Stands in for tqdm around a loop: says how far it is instead of drawing."""

    def __init__(
        self,
        progress: Progress,
        name: str,
        start: float,
        end: float,
        items: Iterable[Any] = (),
        **_more: Any,
    ) -> None:
        self._progress, self._name = progress, name
        self._start, self._end = start, end
        self._items = list(items)

    def __iter__(self) -> Iterator[Any]:
        span = (self._end - self._start) / max(1, len(self._items))
        for done, item in enumerate(self._items):
            self._progress("loading_model", self._start + span * done, self._name)
            yield item


def _load_adapter(model: Any, path: Path) -> Any:
    from peft import PeftModel

    if not (path / "adapter_config.json").is_file():
        raise AppError(ErrorCode.ADAPTER_NOT_FOUND, path=str(path))
    if not (path / "adapter_model.safetensors").is_file():
        raise AppError(ErrorCode.ADAPTER_NOT_FOUND, path=str(path / "adapter_model.safetensors"))
    try:
        peft_model = PeftModel.from_pretrained(
            model, str(path), is_trainable=False, local_files_only=True
        )
    except Exception as e:
        raise AppError(
            ErrorCode.ADAPTER_MISMATCH, path=str(path), detail=f"{type(e).__name__}: {e}"[:500]
        ) from e
    return peft_model


def _refuse_unbatchable(config: Any, model: str) -> None:
    kinds = set(getattr(config.get_text_config(), "layer_types", None) or ())
    if kinds & _UNBATCHABLE_LAYERS:
        architecture = ", ".join(getattr(config, "architectures", None) or [config.model_type])
        raise AppError(ErrorCode.MODEL_UNSUPPORTED, path=model, architecture=architecture)


def _eos_token_ids(model: Any) -> frozenset[int]:
    found = model.generation_config.eos_token_id
    if found is None:
        found = model.config.get_text_config().eos_token_id
    if found is None:
        return frozenset()
    return frozenset(found if isinstance(found, list | tuple) else [found])


def _leave_a_core(device: torch.device) -> None:
    """The window must stay fluid while the model computes."""
    if device.type == "cpu" and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, (os.cpu_count() or 2) - 1))
