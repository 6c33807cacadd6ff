"""What the train form knows: fields of the spec, choices of models and data, all errors at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from core.catalog import ModelInfo
from core.config.app_settings import load_settings
from core.config.presets import merge
from core.config.train import TrainSpec
from core.paths import BUNDLED_DATASETS, Home

FieldKind = Literal["int", "float", "choice", "words"]


@dataclass(frozen=True)
class FieldProblem:
    """Why one field's value is not taken."""

    kind: str
    """pydantic's error type, for example "greater_than"."""
    limit: str = ""


@dataclass(frozen=True)
class AdvancedField:
    """One field of the advanced section: where it is in the spec and how it is typed in."""

    path: str
    kind: FieldKind
    choices: tuple[str, ...] = ()


ADVANCED: tuple[AdvancedField, ...] = (
    AdvancedField("learning_rate", "float"),
    AdvancedField("per_device_train_batch_size", "int"),
    AdvancedField("gradient_accumulation_steps", "int"),
    AdvancedField("seq_len", "int"),
    AdvancedField("lora.r", "int"),
    AdvancedField("lora.lora_alpha", "float"),
    AdvancedField("lora.lora_dropout", "float"),
    AdvancedField("lora.target_modules", "words"),
    AdvancedField("warmup_ratio", "float"),
    AdvancedField("min_lr_ratio", "float"),
    AdvancedField("weight_decay", "float"),
    AdvancedField("max_grad_norm", "float"),
    AdvancedField("precision", "choice", ("auto", "fp32", "bf16", "fp16")),
    AdvancedField("device", "words"),
    AdvancedField("seed", "int"),
    AdvancedField("eval_steps", "int"),
    AdvancedField("eval_max_samples", "int"),
    AdvancedField("save_steps", "int"),
    AdvancedField("save_total_limit", "int"),
    AdvancedField("grad_norm_alarm", "float"),
    AdvancedField("stall_alarm_s", "float"),
)


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
    if field.path == "lora.target_modules":
        return [w.strip() for w in text.replace("，", ",").split(",") if w.strip()]
    if field.kind in ("int", "float"):
        plain = text.replace(",", "").replace("，", "")
        try:
            return int(plain) if field.kind == "int" else float(plain)
        except ValueError:
            return text
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
