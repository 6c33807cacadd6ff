"""Write the report of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from core import atomic_io
from core.report import render_report
from core.supervisor import RunView


def write_report(view: RunView, path: Path, language: Literal["en", "zh"] = "en") -> Path:
    """Write `view` as one HTML file, whole or not at all.

    Raises:
        AppError: `disk.full` or `folder.read_only`.
    """
    atomic_io.write_text(path, render_report(view, language))
    return path
