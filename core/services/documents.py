"""`run.json`: the one document that a service writes about a run."""

from __future__ import annotations

import time
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from core.config.base import Spec
from core.paths import PROJECT_ROOT
from core.supervisor.worker_spec import current_python


def run_document(
    job: str, spec: Spec, *, name: str = "", seed: int = 0, python: Path | None = None
) -> dict[str, Any]:
    """What docs/architecture.md says of `run.json`; `RunDir.create` writes it."""
    return {
        "v": 1,
        "job": job,
        "name": name,
        "spec": spec.model_dump(mode="json"),
        "created_utc": time.time(),
        "versions": {"deepdeck": own_version()},
        "interpreter": str(python or current_python()),
        "seed": seed,
    }


def own_version() -> str:
    """Of the tree that runs, which may differ from a package that was once installed."""
    project = PROJECT_ROOT / "pyproject.toml"
    if project.is_file():
        return str(tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"])
    try:
        return version("deepdeck")
    except PackageNotFoundError:
        return "0"
