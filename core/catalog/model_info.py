"""One model, as far as its files tell without loading it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from core.errors import ErrorCode, ErrorInfo, UsageError

Source = Literal["bundled", "catalogue", "user"]
ModelFormat = Literal["safetensors", "gguf"]


class ModelInfo(BaseModel):
    """A model of the library or of a folder. Unknown figures are `None`, never 0."""

    # "model_" is a prefix pydantic keeps for itself; the vocabulary of the models' own
    # configuration files has `model_type`, and that is what everybody looks for.
    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    id: str
    name: str
    path: Path | None = None
    """Folder of the files; None for a model of the catalogue that was not fetched."""
    architecture: str = ""
    """Class name of transformers, for example LlamaForCausalLM."""
    model_type: str = ""
    parameters: int | None = None
    active_parameters: int | None = None
    """Parameters that one token passes: fewer than `parameters` with routed experts."""
    size_bytes: int | None = None
    dtype: str = ""
    """Of most of the weights: bf16, fp16, fp32, fp8, Q4_1, ..."""
    context_tokens: int | None = None
    vocab_size: int | None = None
    licence: str = ""
    """SPDX identifier where one is known."""
    source: Source = "user"
    format: ModelFormat = "safetensors"
    gguf_file: str | None = None
    """File name inside `path`: transformers wants it beside the folder."""
    has_chat_template: bool = False
    problem: ErrorInfo | None = None
    """Why it cannot be used as it is."""
    languages: tuple[str, ...] = ()
    summary: dict[str, str] = {}
    """A sentence of the catalogue by language ("en", "zh")."""

    @property
    def fetched(self) -> bool:
        """The files are here."""
        return self.path is not None

    def usable(self) -> ModelInfo:
        """The same model.

        Raises:
            UsageError: with its problem, or `model.not_found` when it was not fetched.
        """
        if self.problem is not None:
            code = ErrorCode(self.problem.code)
            raise UsageError(code, detail=self.problem.detail, **self.problem.params)
        if self.path is None:
            raise UsageError(ErrorCode.MODEL_NOT_FOUND, model=self.id)
        return self
