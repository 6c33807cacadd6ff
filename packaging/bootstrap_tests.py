"""`./deepdeck test`: linters, types, import contracts, then the tests."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bootstrap_env import ROOT, python_in_venv

CHECKS = {
    "ruff check": ["-m", "ruff", "check", "."],
    "ruff format": ["-m", "ruff", "format", "--check", "."],
    "mypy": ["-m", "mypy"],
    "import contracts": ["-c", "from importlinter.cli import lint_imports_command as c; c()"],
}


def run_tests(arguments: list[str]) -> int:
    """Everything, also when one part fails; 0 only when all passed. pytest has the last word."""
    with tempfile.TemporaryDirectory(prefix="deepdeck-test-") as home:
        env = _environment(Path(home))
        results = {name: _check(name, command, env) for name, command in CHECKS.items()}
        print("\n" + "\n".join(f"{name}: {_word(code)}" for name, code in results.items()))
        print(f"pytest {' '.join(arguments)}", flush=True)
        tests = _call(["-m", "pytest", *_pytest_defaults(arguments), *arguments], env)
    return 0 if tests == 0 and not any(results.values()) else 1


def _word(code: int) -> str:
    return "passed" if code == 0 else f"FAILED ({code})"


def _check(name: str, command: list[str], env: dict[str, str]) -> int:
    began = time.monotonic()
    print(f"== {name}", flush=True)
    code = _call(command, env)
    print(f"== {name}: {_word(code)} ({time.monotonic() - began:.0f} s)", flush=True)
    return code


def _call(command: list[str], env: dict[str, str]) -> int:
    return subprocess.run(
        [str(python_in_venv()), *command], cwd=ROOT, env=env, check=False
    ).returncode


def _pytest_defaults(arguments: list[str]) -> list[str]:
    chosen = any(a.startswith(("-n", "--numprocesses", "-p")) for a in arguments)
    return [] if chosen else ["-n", "2"]


def _environment(home: Path) -> dict[str, str]:
    """No display, no user data, no endless spinning of idle math threads."""
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONHOME", "DISPLAY")}
    return {
        **kept,
        "PATH": f"{python_in_venv().parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONPATH": str(ROOT),
        "PYTHONUTF8": "1",
        "DEEPDECK_HOME": str(home),
        "QT_QPA_PLATFORM": "offscreen",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
        "OMP_WAIT_POLICY": "PASSIVE",
        "TOKENIZERS_PARALLELISM": "false",
    }


if __name__ == "__main__":
    sys.exit(run_tests(sys.argv[1:]))
