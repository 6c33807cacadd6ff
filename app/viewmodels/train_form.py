"""What the train form knows: fields of the spec, choices of models and data, all errors at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from app.viewmodels.train_fields import ADVANCED, AdvancedField
from core.catalog import ModelInfo
from core.config.app_settings import load_settings
from core.config.presets import merge
from core.config.train import TrainSpec
from core.paths import BUNDLED_DATASETS, Home


@dataclass(frozen=True)
class FieldProblem:
    """Why one field's value is not taken."""

    kind: str
    """pydantic's error type, for example "greater_than"."""
    limit: str = ""


Method = Literal["lora", "qlora", "lora_8bit", "full"]
_METHODS: dict[Method, dict[str, Any]] = {
    "lora": {"method": "lora", "load_in_4bit": False, "load_in_8bit": False},
    "qlora": {"method": "lora", "load_in_4bit": True, "load_in_8bit": False},
    "lora_8bit": {"method": "lora", "load_in_4bit": False, "load_in_8bit": True},
    "full": {"method": "full", "load_in_4bit": False, "load_in_8bit": False},
}
METHODS: tuple[Method, ...] = tuple(_METHODS)
"""What people call the ways to train; each is three fields of the spec."""


def method_of(values: dict[str, Any]) -> Method:
    """The way to train that the values stand for."""
    if values.get("method") == "full":
        return "full"
    if values.get("load_in_4bit"):
        return "qlora"
    return "lora_8bit" if values.get("load_in_8bit") else "lora"


def method_values(method: Method) -> dict[str, Any]:
    """The fields that a way to train sets."""
    return dict(_METHODS[method])


def defaults() -> dict[str, Any]:
    """The spec's own defaults, model and data left open."""
    plain = TrainSpec(model="-", data="-").model_dump(mode="json")
    return {k: v for k, v in plain.items() if k not in ("model", "data", "name")}


def text_of(values: dict[str, Any], path: str) -> str:
    """The value of a field as it stands in its line."""
    value: Any = values
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return ", ".join(str(v) for v in value)
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def parsed(field: AdvancedField, text: str) -> Any:
    """The value of a line; a text that is no number stays text, so that the spec says what is
    wrong with it.
    """
    text = text.strip()
    match field.kind:
        case "words":
            return [w.strip() for w in text.replace("，", ",").split(",") if w.strip()]
        case "bool":
            return text == "True"
        case "optional_int" if not text:
            return None
        case "int" | "optional_int":
            return _number(text, int)
        case "float":
            return _number(text, float)
        case _:
            return text


def _number(text: str, kind: Callable[[str], Any]) -> Any:
    try:
        return kind(text.replace(",", "").replace("，", ""))
    except ValueError:
        return text


def nested(path: str, value: Any) -> dict[str, Any]:
    """`lora.r`, 8 → {"lora": {"r": 8}}."""
    for part in reversed(path.split(".")):
        value = {part: value}
    return dict(value)


def collect(base: dict[str, Any], texts: dict[str, str]) -> dict[str, Any]:
    """`base` with the advanced fields as they are typed."""
    values = dict(base)
    for field in ADVANCED:
        if field.path in texts:
            values = merge(values, nested(field.path, parsed(field, texts[field.path])))
    return values


def problems(values: dict[str, Any]) -> dict[str, FieldProblem]:
    """All that is wrong, by field; "" stands for the whole form."""
    try:
        TrainSpec.model_validate(values)
    except ValidationError as e:
        found: dict[str, FieldProblem] = {}
        for error in e.errors():
            path = ".".join(str(p) for p in error["loc"] if isinstance(p, str))
            limits = error.get("ctx") or {}
            limit = next((_plain(v) for v in limits.values()), "")
            found.setdefault(path, FieldProblem(error["type"], limit))
        return found
    return {}


def _plain(limit: Any) -> str:
    return f"{limit:g}" if isinstance(limit, float) else str(limit)


def usable_models(models: list[ModelInfo]) -> list[ModelInfo]:
    """Those that are here and whole."""
    return [m for m in models if m.fetched and m.problem is None]


def known_datasets(home: Home) -> list[Path]:
    """The bundled one, those in the user's folder, and those that he added on the Data page."""
    found = [path for path in BUNDLED_DATASETS if path.is_dir()]
    if home.datasets.is_dir():
        found += sorted(p for p in home.datasets.iterdir() if not p.name.startswith("."))
    added = (Path(p) for p in load_settings(home).data_paths)
    return found + [p for p in added if p.exists() and p not in found]
