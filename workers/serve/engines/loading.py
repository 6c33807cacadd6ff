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

import psutil
import torch

from core.config.serve import ServeSpec
from core.errors import AppError, ErrorCode
from workers.serve.engines import memory
from workers.serve.engines.adapters import Adapters
from workers.serve.engines.base import Progress
from workers.serve.engines.gguf_speed import headers_read_once
from workers.serve.engines.sources import source_arguments
from workers.serve.names import adapter_names

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
DEFAULT_CONTEXT_TOKENS = 2048
_GIB = 1024**3
_PACKED_OUTPUTS, _PACKED_INPUTS = 32, 64
_OFFLOAD_ROOM = 0.85
"""Of the card's budget, what weights may take when the rest of them goes to main memory."""


@dataclass(frozen=True)
class LoadedModel:
    """A model that is ready to run."""

    model: Any
    device: torch.device
    """Where prompts go."""
    dtype: str
    """Computed in."""
    precision: str
    """As in the spec, chosen."""
    vocab_size: int
    max_context_tokens: int
    eos_token_ids: frozenset[int]
    adapters: Adapters


def load_model(spec: ServeSpec, progress: Progress) -> LoadedModel:
    """Read weights and adapters.

    Raises:
        AppError: `model.not_found`, `model.load_failed`, `serve.memory_short`,
            `adapter.not_found`, `adapter.mismatch`.
    """
    device = pick_device(spec.device)
    precision = pick_precision(spec.precision, device)
    dtype_name = precision if precision in _DTYPES else pick_precision("auto", device)
    _leave_a_core(device)
    progress("loading_model", 0.0, Path(spec.model).name)
    model = _load_weights(spec, precision, _DTYPES[dtype_name], device, progress)
    model.eval()
    return LoadedModel(
        model=model,
        device=device,
        dtype=dtype_name,
        precision=precision,
        vocab_size=int(model.get_input_embeddings().num_embeddings),
        max_context_tokens=context_tokens(model.config),
        eos_token_ids=_eos_token_ids(model),
        adapters=load_adapters(model, spec, progress),
    )


def load_adapters(model: Any, spec: ServeSpec, progress: Progress) -> Adapters:
    """The spec's adapters, put into the model; merged where the spec says so.

    Raises:
        AppError: `adapter.not_found`, `adapter.mismatch`.
    """
    adapters, wanted = Adapters(model), adapter_names(spec)
    for name, folder in wanted.items():
        progress("loading_model", 0.95, name)
        adapters.load(name, Path(folder))
    if spec.merge_adapter and len(wanted) == 1:
        adapters.merge(next(iter(wanted)))
    return adapters


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


def pick_precision(wanted: str, device: torch.device) -> str:
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


def _load_weights(
    spec: ServeSpec, precision: str, dtype: torch.dtype, device: torch.device, progress: Progress
) -> Any:
    from transformers import AutoModelForCausalLM

    path = Path(spec.model)
    if not path.exists():
        raise AppError(ErrorCode.MODEL_NOT_FOUND, model=spec.model)
    source, arguments = source_arguments(path)
    from_gguf = "gguf_file" in arguments
    if not from_gguf:
        arguments["use_safetensors"] = True
    arguments |= _placement(spec, precision, dtype, device)
    try:
        # Whoever loads goes this way: without it a small file takes more than twice as long.
        with headers_read_once(), _watched_loading(progress, path.name, from_gguf=from_gguf):
            model = _from_pretrained(AutoModelForCausalLM, source, dtype=dtype, **arguments)
        _leave_unpackable_as_they_are(model)
        return model if "device_map" in arguments else model.to(device)
    except AppError:
        raise
    except torch.OutOfMemoryError as e:
        raise memory_short(device, spec, precision) from e
    except Exception as e:
        raise AppError(
            ErrorCode.MODEL_LOAD_FAILED, model=path.name, detail=f"{type(e).__name__}: {e}"[:500]
        ) from e


def _from_pretrained(kind: Any, source: str, **arguments: Any) -> Any:
    """With PyTorch's own attention where the architecture has it."""
    try:
        return kind.from_pretrained(source, attn_implementation="sdpa", **arguments)
    except ValueError as e:
        if "scaled_dot_product_attention" not in str(e):
            raise
        return kind.from_pretrained(source, attn_implementation="eager", **arguments)


def _placement(
    spec: ServeSpec, precision: str, dtype: torch.dtype, device: torch.device
) -> dict[str, Any]:
    """What `from_pretrained` must know to quantize, and to split a model over card and memory."""
    found: dict[str, Any] = {}
    offloads = spec.cpu_offload and device.type == "cuda"
    if precision in ("8bit", "4bit"):
        found["quantization_config"] = _quantization(precision, dtype, offloads=offloads)
    if device.type == "cuda" or found:
        found["device_map"] = {"": device}  # tensor by tensor: main memory never holds the model
    if offloads:
        room_gib = memory.budget_gib(device, spec.memory_share) * _OFFLOAD_ROOM
        ram_gib = psutil.virtual_memory().available / _GIB * _OFFLOAD_ROOM
        found["device_map"] = "auto"
        found["max_memory"] = {device.index or 0: f"{room_gib:.2f}GiB", "cpu": f"{ram_gib:.2f}GiB"}
    return found


def _quantization(precision: str, dtype: torch.dtype, *, offloads: bool) -> Any:
    """NF4 (https://arxiv.org/abs/2305.14314) or LLM.int8 (https://arxiv.org/abs/2208.07339)."""
    from transformers import BitsAndBytesConfig

    if precision == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_enable_fp32_cpu_offload=offloads)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=dtype,
        llm_int8_enable_fp32_cpu_offload=offloads,
    )


def _leave_unpackable_as_they_are(model: Any) -> None:
    """On processors with AVX512-BF16 bitsandbytes 0.50 repacks 4-bit weights at the first pass, in
    blocks of 32 outputs and 64 inputs, and fails where a layer has other numbers of them.
    """
    for module in model.modules():
        outputs, inputs = (getattr(module, f"{side}_features", 0) for side in ("out", "in"))
        odd = outputs % _PACKED_OUTPUTS or inputs % _PACKED_INPUTS
        if odd and hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def memory_short(device: torch.device, spec: ServeSpec, precision: str) -> AppError:
    """What to say when the card cannot hold the model and a conversation."""
    budget_gib = memory.budget_gib(device, spec.memory_share)
    held_gib = memory.used_gib(device)
    return AppError(
        ErrorCode.SERVE_MEMORY_SHORT,
        need_gib=round(held_gib + max(1.0, -budget_gib), 1),
        budget_gib=round(max(0.0, budget_gib) + held_gib, 1),
        precision=precision,
    )


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
