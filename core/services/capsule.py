"""A capsule: everything about a training but weights and data, in one small zip.

| file | holds |
| --- | --- |
| `capsule.json` | spec, seed, hashes of model and data, versions, outcome |
| `environment.txt` | every installed package with its version, as `pip install -r` reads it |
| `curves/*.csv` | every step and evaluation |
| `events-tail.jsonl` | the last events |
| `adapter_config.json` | of the adapter, where there is one |

Opened elsewhere it is a new run with the same spec, and a list of what is not the same there.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from core import atomic_io
from core.catalog.fingerprint import model_fingerprint, weight_files
from core.config.train import TrainSpec
from core.datasets import open_dataset
from core.errors import AppError, ErrorCode, UsageError
from core.protocol.events import Finding
from core.runlog.overrides import effective_spec
from core.runlog.run_dir import RunDir
from core.services.documents import own_version
from core.services.export import write_csv
from core.services.models import ModelsService
from core.services.train import model_reference
from core.supervisor import load_view

VERSION = 1
MANIFEST = "capsule.json"
SUFFIX = ".deepdeck.zip"
MAX_MANIFEST_BYTES = 4 * 1024 * 1024
TAIL_LINES = 200
SHAPING_PACKAGES = (
    "torch", "transformers", "peft", "accelerate", "safetensors", "bitsandbytes", "numpy",
)  # fmt: skip
"""Those whose version may change a result."""


@dataclass(frozen=True)
class Capsule:
    """An opened capsule."""

    spec: TrainSpec
    """As it was, with the model and the data of this machine where they were found."""
    run_id: str
    name: str
    differences: tuple[Finding, ...]
    """What is not as it was; words in `app.texts.train_notes`."""


def export_capsule(run: RunDir, path: Path | None = None) -> Path:
    """Write the capsule of a training; `path` is the zip to make, or a folder to put it into.

    Raises:
        UsageError: `run.not_found` for a run of another job.
        AppError: `disk.full`, `folder.read_only`, `file.damaged`.
    """
    target = path or run.exports
    if target.is_dir() or path is None:
        target = target / f"{run.run_id}{SUFFIX}"
    document = run.document()
    if document.get("job") != "train":
        raise UsageError(ErrorCode.RUN_NOT_FOUND, run_id=run.run_id)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as capsule:
        manifest = json.dumps(_manifest(run, document), ensure_ascii=False, indent=1)
        capsule.writestr(MANIFEST, manifest + "\n")
        capsule.writestr("environment.txt", "".join(f"{line}\n" for line in environment_lock()))
        for name, data in _beside(run):
            capsule.writestr(name, data)
    atomic_io.write_bytes(target, packed.getvalue())
    return target


def open_capsule(path: Path, models: ModelsService) -> Capsule:
    """Read a capsule and compare it with this machine. Nothing is unpacked.

    Raises:
        UsageError: `capsule.damaged`.
    """
    manifest = _read_manifest(path)
    try:
        spec = TrainSpec.parse(manifest["spec"])
        model, about_model = _find_model(manifest["model"], spec, models)
        differences = [*about_model, *_data_differences(manifest["data"], spec)]
        differences += _version_differences(manifest["versions"])
        run_id, name = str(manifest["run_id"]), str(manifest["name"])
    except (KeyError, TypeError, AttributeError) as e:
        raise UsageError(ErrorCode.CAPSULE_DAMAGED, path=str(path), detail=str(e)) from e
    spec = spec.model_copy(update={"model": model})
    return Capsule(spec, run_id, name, tuple(differences))


def environment_lock() -> list[str]:
    """Installed packages as `name==version`, sorted; DeepDeck itself left out."""
    found = {(d.metadata["Name"] or "", d.version) for d in metadata.distributions()}
    return [f"{n}=={v}" for n, v in sorted(found, key=lambda x: x[0].lower()) if _is_package(n)]


def _is_package(name: str) -> bool:
    return bool(name) and name.lower() != "deepdeck"


def _manifest(run: RunDir, document: dict[str, Any]) -> dict[str, Any]:
    view = load_view(run)
    spec = TrainSpec.parse(effective_spec(run, document))
    return {
        "v": VERSION,
        "run_id": run.run_id,
        "name": document.get("name", ""),
        "created_utc": document.get("created_utc"),
        "spec": spec.model_dump(mode="json"),
        "seed": spec.seed,
        "model": {"id": document.get("model", ""), **_about_model(Path(spec.model))},
        "data": {"name": document.get("dataset", ""), "files": _about_data(spec.data)},
        "versions": {**view.state.versions, "deepdeck": own_version()},
        "machine": {"system": platform.system(), "machine": platform.machine()},
        "outcome": view.status,
        "result": view.state.result,
        "steps": view.state.steps_done,
    }


def _about_model(path: Path) -> dict[str, Any]:
    """Fingerprint and sizes, or nothing when the model is gone meanwhile."""
    try:
        files = [{"file": f.name, "size_bytes": f.stat().st_size} for f in weight_files(path)]
        return {"fingerprint": model_fingerprint(path) if files else "", "files": files}
    except OSError:
        return {"fingerprint": "", "files": []}


def _about_data(path: str) -> list[dict[str, Any]]:
    try:
        files = {file.path for file in open_dataset(Path(path)).files}
        return [{"file": f.name, "sha256": _sha256(f)} for f in sorted(files)]
    except (AppError, OSError):
        return []


def _beside(run: RunDir) -> Iterator[tuple[str, bytes]]:
    with tempfile.TemporaryDirectory() as place:
        write_csv(run, Path(place))
        for file in sorted(Path(place).glob("*.csv")):
            yield f"curves/{file.name.removeprefix(f'{run.run_id}-')}", file.read_bytes()
    if run.events.is_file():
        lines = run.events.read_bytes().splitlines(keepends=True)
        yield "events-tail.jsonl", b"".join(lines[-TAIL_LINES:])
    config = run.adapter / "adapter_config.json"
    if config.is_file():
        yield config.name, config.read_bytes()


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(path) as capsule, capsule.open(MANIFEST) as f:
            raw = f.read(MAX_MANIFEST_BYTES + 1)
        manifest = json.loads(raw) if len(raw) <= MAX_MANIFEST_BYTES else None
    except (OSError, KeyError, ValueError, RecursionError, zipfile.BadZipFile) as e:
        raise UsageError(ErrorCode.CAPSULE_DAMAGED, path=str(path), detail=str(e)) from e
    if not isinstance(manifest, dict) or manifest.get("v") != VERSION:
        detail = f"{MANIFEST} is not of version {VERSION}"
        raise UsageError(ErrorCode.CAPSULE_DAMAGED, path=str(path), detail=detail)
    return manifest


def _find_model(
    then: dict[str, Any], spec: TrainSpec, models: ModelsService
) -> tuple[str, list[Finding]]:
    """The model's folder here: one with the same content where it was or in the library, else the
    one of its name.
    """
    known = {m.id: Path(model_reference(m)) for m in models.list() if m.path is not None}
    named = [p for p in (Path(spec.model), known.get(then["id"])) if p is not None and p.exists()]
    wanted = then["fingerprint"]
    for path in (*named, *known.values()):
        if wanted and _fingerprint(path) == wanted:
            return str(path), []
    code = "capsule_model_changed" if named else "capsule_model_missing"
    found = str(named[0]) if named else spec.model
    return found, [Finding(code=code, params={"model": str(then["id"] or "?")})] if wanted else []


def _fingerprint(path: Path) -> str:
    return str(_about_model(path)["fingerprint"])


def _data_differences(then: dict[str, Any], spec: TrainSpec) -> list[Finding]:
    now = _about_data(spec.data)
    if not now:
        return [Finding(code="capsule_data_missing", params={"data": str(then["name"])})]
    if then["files"] and now != then["files"]:
        return [Finding(code="capsule_data_changed", params={"data": str(then["name"])})]
    return []


def _version_differences(then: dict[str, str]) -> list[Finding]:
    now = {"python": platform.python_version(), "deepdeck": own_version(), **_installed()}
    return [
        Finding(
            code="capsule_version",
            params={"package": name, "then": version, "now": now.get(name, "–")},
        )
        for name, version in then.items()
        if now.get(name) != version
    ]


def _installed() -> dict[str, str]:
    found = {}
    for name in SHAPING_PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _sha256(file: Path) -> str:
    with file.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()
