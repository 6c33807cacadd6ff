"""app -> core <- workers: held by a linter and by fresh interpreters."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

from core.paths import PROJECT_ROOT

QT = ("PySide6", "pyqtgraph", "qasync", "qtawesome")
HEAVY = ("torch", "transformers", "peft", "accelerate", "fastapi", "uvicorn")


def loaded_by(statement: str, suspects: tuple[str, ...]) -> str:
    """Which suspects a fresh interpreter has loaded after the statement."""
    code = f"{statement}\nimport sys; print([m for m in {suspects!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.strip().splitlines()[-1]


def modules_of(package: str) -> list[str]:
    path = str(PROJECT_ROOT / package)
    return [package, *(m.name for m in pkgutil.walk_packages([path], f"{package}."))]


def test_the_linter_s_contracts_hold() -> None:
    tool = Path(sys.executable).with_name("lint-imports")
    if not tool.exists():
        pytest.skip("import-linter is not installed here")
    done = subprocess.run(
        [str(tool), "--no-cache"], cwd=PROJECT_ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_module_of_core_loads_qt_or_torch() -> None:
    imports = "\n".join(f"import {name}" for name in modules_of("core"))
    assert loaded_by(imports, (*QT, *HEAVY)) == "[]"


def test_the_command_line_loads_neither_qt_nor_torch() -> None:
    imports = "\n".join(f"import {name}" for name in ["app.cli", *modules_of("app.commands")])
    build = "import core.services, core.paths; core.services.build(core.paths.Home.default())"
    assert loaded_by(f"{imports}\n{build}", (*QT, *HEAVY)) == "[]"


def test_the_harness_loads_no_library_of_its_recipes() -> None:
    assert loaded_by("import workers.harness", (*QT, *HEAVY)) == "[]"


@pytest.mark.parametrize("worker", ["train", "serve", "models"])
def test_a_worker_says_its_first_word_before_it_loads_torch(worker: str) -> None:
    statement = f"import importlib; importlib.import_module('workers.{worker}.__main__')"
    assert loaded_by(statement, ("torch", "transformers")) == "[]"
