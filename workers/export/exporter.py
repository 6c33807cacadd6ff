"""Load, measure, merge, write, read back. One model is in memory at a time."""

from __future__ import annotations

import gc
import json
import shutil
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import torch

from core import atomic_io
from core.catalog.model_info import ModelInfo
from core.config.export import ExportSpec
from core.config.train import TrainSpec
from core.errors import AppError, ErrorCode, UsageError
from core.protocol.events import ArtifactSaved
from workers.export.comparison import Difference, compare, log_probabilities, make_rows
from workers.export.merging import merge, with_adapter
from workers.harness.context import WorkerContext
from workers.train import checkpoint_files, model_files
from workers.train import model as loading
from workers.train.checkpoint import need_room
from workers.train.device import DType, Place, choose_place
from workers.train.interrupts import check, interruptible
from workers.train.trained_state import ADAPTER_WEIGHTS

Base = Literal["original", "dequantized"]

_ADAPTER_FILES = ("adapter_config.json", ADAPTER_WEIGHTS, "chat_template.jinja")
_DTYPES: dict[torch.dtype, DType] = {
    torch.float32: "fp32",
    torch.bfloat16: "bf16",
    torch.float16: "fp16",
}
MAX_VERIFY_KL = 1e-3
"""Nats a token between what was in memory and what was read back: the same weights in the same
precision; only the order of sums may differ."""


@dataclass
class _Whole:
    """A model that can be written, and what it computes on the rows."""

    model: Any
    outputs: list[torch.Tensor]


class Exporter:
    """One export."""

    def __init__(self, ctx: WorkerContext, spec: ExportSpec) -> None:
        self._ctx = ctx
        self._spec = spec
        self._source = Path(spec.source)
        self._differences: dict[Base, Difference] = {}

    def run(self) -> dict[str, Any]:
        """Do it; see `docs/architecture.md` for what is returned."""
        target = self._target()
        if self._spec.kind == "adapter":
            self._export_adapter(target)
        elif self._is_adapter:
            self._export_merged(target)
        else:
            self._export_model(target)
        size = checkpoint_files.folder_bytes(target)
        inside = target.is_relative_to(self._ctx.run.path)
        path = target.relative_to(self._ctx.run.path).as_posix() if inside else str(target)
        kind = "adapter" if self._spec.kind == "adapter" else "model"
        self._ctx.reporter.emit(ArtifactSaved(artifact=kind, path=path, size_bytes=size))
        return {"path": str(target), "size_bytes": size, "kind": kind, **self._figures()}

    @property
    def _is_adapter(self) -> bool:
        return (self._source / "adapter_config.json").is_file()

    @cached_property
    def _info(self) -> ModelInfo:
        return loading.inspect(Path(self._spec.model) if self._is_adapter else self._source)

    @cached_property
    def _tokenizer(self) -> Any:
        tokenizer = loading.load_tokenizer(self._info)
        template = self._source / "chat_template.jinja"
        if template.is_file():  # what it was trained with, where the model itself had none
            tokenizer.chat_template = template.read_text("utf-8")
        return tokenizer

    @cached_property
    def _place(self) -> Place:
        """Computes in the dtype that is written."""
        stored = _DTYPES[model_files.stored_dtype(self._info.dtype)]
        wanted = stored if self._spec.dtype == "auto" else self._spec.dtype
        device = choose_place(self._spec.device, "fp32").device
        return Place(device, wanted)

    @cached_property
    def _rows(self) -> list[torch.Tensor]:
        return make_rows(self._tokenizer, self._spec.data, self._spec.compare_rows)

    def _target(self) -> Path:
        own = self._ctx.run.adapter if self._spec.kind == "adapter" else self._ctx.run.model
        target = Path(self._spec.to) if self._spec.to else own
        if target.is_dir() and any(target.iterdir()):
            raise UsageError(ErrorCode.EXPORT_EXISTS, path=str(target))
        return target

    def _export_merged(self, target: Path) -> None:
        trained = self._trained_outputs()
        order: list[Base] = ["original"]
        if self._spec.quantization != "none":  # the one that is written comes last and stays
            order = sorted(("original", "dequantized"), key=lambda b: b == self._spec.merge_into)
        for base in order:
            merged = self._merge_into(base)
            self._differences[base] = compare(trained, merged.outputs)
            if base is not order[-1]:
                del merged
                _free()
        self._write(merged, target)

    def _export_model(self, target: Path) -> None:
        """What full fine-tuning has left is a model already; it is written anew and checked."""
        model = self._load(quantized=False)
        whole = _Whole(model, self._outputs(model, "comparing"))
        del model
        self._write(whole, target)

    def _trained_outputs(self) -> list[torch.Tensor]:
        """Of the adapter on the base it was trained on, quantized as it was then."""
        base = self._load(quantized=True)
        model = with_adapter(base, self._source)
        found = self._outputs(model, "comparing")
        del base, model
        _free()
        return found

    def _merge_into(self, base: Base) -> _Whole:
        model = self._load(quantized=base == "dequantized")
        if base == "dequantized":
            model = model.dequantize()
            model = model.to(self._place.base_dtype)
        self._ctx.reporter.phase("merging", 0.0, base)
        merged = merge(with_adapter(model, self._source), partial(self._tell, "merging", base))
        return _Whole(merged, self._outputs(merged, "comparing"))

    def _load(self, *, quantized: bool) -> Any:
        kind = self._spec.quantization if quantized else "none"
        spec = TrainSpec(
            model=str(self._info.path),
            data="",
            load_in_4bit=kind == "nf4",
            load_in_8bit=kind == "int8",
            bnb_4bit_use_double_quant=self._spec.bnb_4bit_use_double_quant,
        )
        self._ctx.reporter.phase("loading_model", detail=self._info.name)
        load = partial(loading.load_base, self._info, self._tokenizer, self._place, spec)
        return interruptible(self._ctx, load).model

    def _outputs(self, model: Any, phase: str) -> list[torch.Tensor]:
        self._ctx.reporter.phase(phase, 0.0)
        return log_probabilities(model, self._rows, partial(self._tell, phase, ""))

    def _tell(self, phase: str, detail: str, fraction: float) -> None:
        check(self._ctx)
        self._ctx.reporter.phase(phase, fraction, detail)

    def _write(self, whole: _Whole, target: Path) -> None:
        dtype = self._place.base_dtype
        self._ctx.reporter.phase("saving")
        need_room(target, model_files.model_room(whole.model, dtype))
        with atomic_io.staged_folder(target) as folder:
            model_files.save_model(whole.model, self._tokenizer, folder, dtype)
            whole.model = None  # room for the one that is read back
            _free()
            self._verify(folder, target, whole.outputs)

    def _verify(self, folder: Path, target: Path, outputs: list[torch.Tensor]) -> None:
        """Load what was written as anybody would, and compare.

        Raises:
            AppError: `export.not_verified`.
        """
        self._ctx.reporter.phase("verifying")
        info = loading.inspect(folder)
        tokenizer = loading.load_tokenizer(info)
        base = interruptible(
            self._ctx, partial(loading.load_base, info, tokenizer, self._place, None)
        )
        kl = compare(outputs, log_probabilities(base.model, self._rows)).kl
        if not kl <= MAX_VERIFY_KL:
            detail = f"{kl:.3g} nats a token apart"
            raise AppError(ErrorCode.EXPORT_NOT_VERIFIED, path=str(target), detail=detail)

    def _export_adapter(self, target: Path) -> None:
        if not self._is_adapter:
            raise UsageError(ErrorCode.ADAPTER_NOT_FOUND, path=self._spec.source)
        self._ctx.reporter.phase("saving")
        need_room(target, checkpoint_files.folder_bytes(self._source))
        with atomic_io.staged_folder(target) as folder:
            for name in _ADAPTER_FILES:
                if (self._source / name).is_file():
                    shutil.copyfile(self._source / name, folder / name)
            _name_base(folder / "adapter_config.json", self._info.name)
            model_files.save_tokenizer(self._tokenizer, folder)
            self._ctx.reporter.phase("verifying")
            self._verify_adapter(folder, target)

    def _verify_adapter(self, folder: Path, target: Path) -> None:
        from peft import PeftConfig
        from safetensors.torch import load_file

        PeftConfig.from_pretrained(str(folder))
        own, copy = (load_file(place / ADAPTER_WEIGHTS) for place in (self._source, folder))
        if own.keys() != copy.keys() or not all(torch.equal(own[k], copy[k]) for k in own):
            raise AppError(ErrorCode.EXPORT_NOT_VERIFIED, path=str(target), detail=ADAPTER_WEIGHTS)

    def _figures(self) -> dict[str, Any]:
        figures: dict[str, Any] = {"merge_into": None, "tokens": 0}
        for base in ("original", "dequantized"):
            found = self._differences.get(base)
            figures |= {
                f"kl_{base}": found.kl if found else None,
                f"top1_{base}": found.top1 if found else None,
            }
        if self._differences:
            figures["merge_into"] = self._spec.merge_into
            figures["tokens"] = next(iter(self._differences.values())).tokens
        return figures


def _name_base(config: Path, name: str) -> None:
    """The base by its name: a path of this machine tells others nothing."""
    values = json.loads(config.read_text("utf-8"))
    values["base_model_name_or_path"] = name
    config.write_text(json.dumps(values, indent=2) + "\n", "utf-8")


def _free() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
