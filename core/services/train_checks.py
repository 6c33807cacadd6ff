"""What the service can tell about a spec before a worker is started, as the worker would."""

from __future__ import annotations

from importlib.util import find_spec

from core.catalog import ModelInfo
from core.catalog.linear_modules import linear_modules
from core.config.combinations import check_combination, setup_of
from core.config.targets import Targets, resolve_names
from core.config.train import TrainSpec
from core.errors import ErrorCode, ErrorInfo

_BITSANDBYTES_OPTIMIZERS = frozenset({"adamw_8bit", "paged_adamw_32bit", "paged_adamw_8bit"})


def targets_of(spec: TrainSpec, model: ModelInfo) -> Targets | None:
    """What gets an adapter, by the names in the weights; None where they do not tell (GGUF).

    Raises:
        UsageError: `train.targets_unknown`.
    """
    found = linear_modules(model) if spec.method == "lora" else None
    if found is None:
        return None
    names = spec.lora.target_modules
    return resolve_names(found.paths, names, fused_experts=found.routed_experts)


def combination_problems(spec: TrainSpec, model: ModelInfo | None) -> list[ErrorInfo]:
    """Options that are not known to be right together; `reason` is a code of
    `app.texts.combinations`.
    """
    found = linear_modules(model) if model is not None else None
    setup = setup_of(spec, routed_experts=found is not None and found.routed_experts)
    code = ErrorCode.TRAIN_COMBINATION.value
    return [
        ErrorInfo(code=code, params={"reason": refusal.code, **refusal.params})
        for refusal in check_combination(setup)
    ]


def package_problems(spec: TrainSpec) -> list[ErrorInfo]:
    """Options whose package is not here; a worker runs with the same packages as its service."""
    return [*_quantization_problems(spec), *_tracker_problems(spec)]


def _tracker_problems(spec: TrainSpec) -> list[ErrorInfo]:
    """Packages have the names of their trackers."""
    return [
        ErrorInfo(
            code=ErrorCode.TRAIN_NEEDS_PACKAGE.value,
            params={"package": name, "feature": f"report_to={name}"},
        )
        for name in spec.report_to
        if find_spec(name) is None
    ]


def _quantization_problems(spec: TrainSpec) -> list[ErrorInfo]:
    wanted = [name for name in ("load_in_4bit", "load_in_8bit") if getattr(spec, name)]
    wanted += [spec.optim] if spec.optim in _BITSANDBYTES_OPTIMIZERS else []
    if not wanted or find_spec("bitsandbytes") is not None:
        return []
    facts = {"package": "bitsandbytes", "feature": ", ".join(wanted)}
    return [ErrorInfo(code=ErrorCode.TRAIN_NEEDS_PACKAGE.value, params=facts)]
