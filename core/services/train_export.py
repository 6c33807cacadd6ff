"""Exporting what was trained: an adapter by itself, or merged into its base model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core import atomic_io
from core.config.export import ExportSpec
from core.config.train import TrainSpec
from core.errors import AppError, ErrorCode, UsageError
from core.paths import Home
from core.runlog.overrides import effective_spec
from core.runlog.run_dir import RunDir, new_run_id
from core.services.documents import run_document
from core.services.models import ModelsService
from core.services.train import model_reference
from core.supervisor import RunView, Supervisor

WORKER_MODULE = "workers.export"
ADAPTER_CONFIG = "adapter_config.json"


class ExportService:
    """Prepare and start exports; each is a run of the job "export"."""

    def __init__(self, home: Home, supervisor: Supervisor, models: ModelsService) -> None:
        self._home = home
        self._supervisor = supervisor
        self._models = models

    def prepare(self, spec: ExportSpec) -> ExportSpec:
        """The spec with folders in place of names, and what the run itself knows filled in.

        Raises:
            UsageError: `adapter.not_found`, `model.*`, `export.exists`, `input.bad_value`.
        """
        folder, known = Path(spec.source).expanduser().resolve(), dict[str, Any]()
        if self._is_run(spec.source):
            folder, known = self._of_run(spec.source)
        chosen = {k: v for k in ("model", "data") if (v := getattr(spec, k) or known.get(k, ""))}
        ready = spec.model_copy(
            update={**known, **chosen, "source": str(folder), "to": _absolute(spec.to)}
        )
        _check(ready, folder)
        return ready.model_copy(update={"model": self._base(ready, folder)})

    def start(self, spec: ExportSpec) -> RunView:
        """Prepare, make the run folder and start the worker.

        Raises:
            UsageError: as `prepare`; nothing was written.
            AppError: `disk.full`, `folder.read_only`, `worker.start_failed`.
        """
        ready = self.prepare(spec)
        name = spec.source if self._is_run(spec.source) else Path(ready.source).name
        document = run_document("export", ready, name=name)
        run = RunDir.create(self._home.runs, new_run_id("export", name), document)
        return self._supervisor.start(run, WORKER_MODULE)

    def _is_run(self, source: str) -> bool:
        return Path(source).name == source and (self._home.runs / source / "run.json").is_file()

    def _of_run(self, run_id: str) -> tuple[Path, dict[str, Any]]:
        """Where the training's result is, and what the training knows of itself.

        Raises:
            UsageError: `adapter.not_found` when it left neither adapter nor model.
        """
        run = RunDir.open(self._home.runs, run_id)
        spec = TrainSpec.parse(effective_spec(run, run.document()))
        found = [
            p for p in (run.adapter, run.model, run.newest_checkpoint()) if p and _is_source(p)
        ]
        if not found:
            raise UsageError(ErrorCode.ADAPTER_NOT_FOUND, path=run_id)
        return found[0], {
            "model": spec.model,
            "data": spec.data,
            "quantization": _quantization(spec),
            "bnb_4bit_use_double_quant": spec.bnb_4bit_use_double_quant,
        }

    def _base(self, spec: ExportSpec, folder: Path) -> str:
        """The base model's folder; nothing for a source that is a whole model itself."""
        if not (folder / ADAPTER_CONFIG).is_file():
            return ""
        return model_reference(self._models.resolve(spec.model or _named_base(folder)))


def _check(spec: ExportSpec, folder: Path) -> None:
    is_adapter = (folder / ADAPTER_CONFIG).is_file()
    if not is_adapter and (spec.kind == "adapter" or not (folder / "config.json").is_file()):
        raise UsageError(ErrorCode.ADAPTER_NOT_FOUND, path=str(folder))
    if spec.merge_into == "dequantized" and spec.quantization == "none":
        raise UsageError(
            ErrorCode.BAD_VALUE,
            field="merge_into",
            value=spec.merge_into,
            detail="the adapter was not trained on a quantized model",
        )
    target = Path(spec.to) if spec.to else None
    if target is not None and target.exists() and any(target.iterdir()):
        raise UsageError(ErrorCode.EXPORT_EXISTS, path=spec.to)


def _is_source(place: Path) -> bool:
    return any((place / name).is_file() for name in (ADAPTER_CONFIG, "config.json"))


def _quantization(spec: TrainSpec) -> str:
    return "nf4" if spec.load_in_4bit else "int8" if spec.load_in_8bit else "none"


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().resolve()) if path else ""


def _named_base(folder: Path) -> str:
    """The base that the adapter itself names.

    Raises:
        UsageError: `adapter.mismatch` when it names none.
    """
    try:
        named = atomic_io.read_json(folder / ADAPTER_CONFIG).get("base_model_name_or_path")
    except (AppError, OSError, AttributeError) as e:
        raise UsageError(ErrorCode.ADAPTER_MISMATCH, path=str(folder), detail=str(e)) from e
    if not named:
        detail = "it does not say which model it belongs to"
        raise UsageError(ErrorCode.ADAPTER_MISMATCH, path=str(folder), detail=detail)
    return str(named)
