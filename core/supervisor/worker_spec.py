"""What to start: module, interpreter, run folder, environment."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

from core.paths import PROJECT_ROOT, Home
from core.runlog.run_dir import RunDir


@dataclass(frozen=True)
class WorkerSpec:
    """One worker process to start."""

    module: str
    """For example "workers.train"."""
    python: Path
    run: RunDir
    env: dict[str, str] = field(default_factory=dict)
    """The whole environment of the process, nothing is added."""

    @property
    def command(self) -> list[str]:
        """The argument vector; no secret is ever in it."""
        return [str(self.python), "-m", self.module, str(self.run.path)]


def worker_environment(home: Home) -> dict[str, str]:
    """The environment of every worker: ours, plus what docs/architecture.md names and why."""
    return {
        **os.environ,
        "DEEPDECK_HOME": str(home.root),
        "PYTHONPATH": str(PROJECT_ROOT),
        "PYTHONUTF8": "1",
        "PYTHONUNBUFFERED": "1",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_WAIT_POLICY": "PASSIVE",
        "GOMP_SPINCOUNT": "0",
        "PYTORCH_ALLOC_CONF": "expandable_segments:True",
    }


def current_python() -> Path:
    """The interpreter of this process: not resolved, a link into a virtual environment counts."""
    return Path(sys.executable)
