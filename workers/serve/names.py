"""Public names of what a server offers."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
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
        return safe_name(folder.name)
    try:
        document = atomic_io.read_json(folder.parent / "run.json")
        name = str(document.get("name") or "") if isinstance(document, dict) else ""
    except (OSError, AppError):
        name = ""
    return safe_name(name) or folder.parent.name


def safe_name(wanted: str) -> str:
    """Without what a model name may not hold: spaces, slashes, colons."""
    return _UNSAFE.sub("-", wanted).strip("-")


def adapter_names(spec: ServeSpec) -> dict[str, str]:
    """Short name to folder of the adapters that a server starts with; the first is the default.

    Two runs of one name are told apart by a number. Front and engine both ask here.
    """
    folders = (*((spec.adapter,) if spec.adapter else ()), *spec.adapters)
    found: dict[str, str] = {}
    for folder in dict.fromkeys(folders):
        found[free_name(adapter_label(folder), found)] = folder
    return found


def free_name(wanted: str, taken: Collection[str]) -> str:
    """`wanted`, with a number behind it if another has it already."""
    name, number = wanted, 2
    while name in taken:
        name, number = f"{wanted}-{number}", number + 1
    return name


def model_ids(
    base: str, adapters: Iterable[str | None], default: str | None = None
) -> dict[str, str | None]:
    """Public name to the engine's adapter name: `base:adapter`, or `base` for the bare model.

    Args:
        base: public name of the base model.
        adapters: what the engine accepts.
        default: the one that answers requests without a name; comes first.
    """
    ordered = sorted(adapters, key=lambda name: name != default)
    return {(f"{base}:{name}" if name else base): name for name in ordered}


def aliases(folders: Mapping[str, str], ids: Mapping[str, str | None]) -> dict[str, str]:
    """What else people call an adapter: its label alone, the id of its training run, and
    `base+adapter`, as version 0.1 had it.
    """
    found: dict[str, str] = {}
    for public, name in ids.items():
        if name is None:
            continue
        found[public.replace(":", "+")] = found[name] = public
        folder = Path(folders.get(name, ""))
        if folder.name == "adapter":
            found.setdefault(folder.parent.name, public)
    return {alias: public for alias, public in found.items() if alias and alias not in ids}
