"""Public names of what a server offers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from core import atomic_io
from core.config.serve import ServeSpec
from core.errors import AppError

_UNSAFE = re.compile(r"[^\w.\-]+")


def base_id(document: dict[str, Any], spec: ServeSpec) -> str:
    """The library's id of the model, else the folder's or file's name."""
    return str(document.get("model") or Path(spec.model).name.removesuffix(".gguf"))


def adapter_label(adapter: str) -> str:
    """What people call an adapter: its training run's name or id, else its folder's name."""
    folder = Path(adapter)
    if folder.name != "adapter":
        return _UNSAFE.sub("-", folder.name)
    try:
        document = atomic_io.read_json(folder.parent / "run.json")
        name = str(document.get("name") or "") if isinstance(document, dict) else ""
    except (OSError, AppError):
        name = ""
    return _UNSAFE.sub("-", name).strip("-") or folder.parent.name


def model_ids(
    document: dict[str, Any], spec: ServeSpec, adapters: tuple[str | None, ...]
) -> dict[str, str | None]:
    """Public name to the engine's adapter name; the first is the default."""
    base = base_id(document, spec)
    label = adapter_label(spec.adapter) if spec.adapter else ""
    return {(f"{base}:{label}" if name else base): name for name in adapters}


def aliases(spec: ServeSpec, ids: dict[str, str | None]) -> dict[str, str]:
    """What else people call the adapter: its label alone, and the id of its training run."""
    if not spec.adapter:
        return {}
    tuned = next(iter(ids))
    folder = Path(spec.adapter)
    found = {adapter_label(spec.adapter), folder.parent.name if folder.name == "adapter" else ""}
    return dict.fromkeys(found - {""} - set(ids), tuned)
