"""The virtual environment: made, filled, checked, and put right after an interruption."""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from pathlib import Path

from bootstrap_console import Console, run
from bootstrap_text import text

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
SETUP = VENV / "deepdeck-setup"
IN_PROGRESS = SETUP / "in-progress"
# Written at the very end; the launcher compares them with pyproject.toml.
EXTRAS = {"runtime": "runtime", "test": "runtime,test"}

_PROGRESS = re.compile(r"^Progress (\d+) of (\d+)$")
_COLLECTING = re.compile(r"^\s*Collecting ([\w.\-]+)")
_DOWNLOADING = re.compile(r"^\s*Downloading (?:\S+/)?([\w.]+?)-\d")
_INSTALLING = re.compile(r"^Installing collected packages: (.+)$")
# Imports that show a broken package which its metadata hides. Qt's own modules need system
# libraries, so only its core is tried.
_PROBE = (
    "import numpy, pydantic, psutil, httpx, PySide6.QtCore, safetensors, gguf, fastapi, uvicorn, "
    "torch, transformers, peft, accelerate"
)


def python_in_venv() -> Path:
    """The interpreter of the environment."""
    return VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def is_installed(kind: str) -> bool:
    """The environment holds what today's pyproject.toml asks for."""
    stamp = SETUP / f"{kind}.toml"
    if not os.access(python_in_venv(), os.X_OK) or not stamp.is_file() or IN_PROGRESS.exists():
        return False
    return stamp.read_bytes() == (ROOT / "pyproject.toml").read_bytes()


def install(console: Console, kind: str, *, repair: bool = False) -> None:
    """Bring the environment to what pyproject.toml asks for.

    Raises:
        StepFailed: pip failed; what was done so far is kept and used the next time.
    """
    if not _usable():
        console.phase(text("venv"))
        _create()
        console.done()
    interrupted = IN_PROGRESS.exists()
    SETUP.mkdir(exist_ok=True)
    IN_PROGRESS.write_text(str(os.getpid()), encoding="ascii")
    for stamp in SETUP.glob("*.toml"):  # from here on the launcher must not take the short way
        stamp.unlink()
    if interrupted or repair:
        _remove_damaged(console)
    console.phase(text("pip"))
    _pip(console, ["install", "--upgrade", "pip"])
    console.done()
    console.phase(text("packages"))
    _install_packages(console, kind)
    console.done()
    console.phase(text("checking"))
    run(console, [str(python_in_venv()), "-I", "-c", _PROBE], env=_environment(), cwd=VENV)
    console.done()
    _stamp(kind)


def _usable() -> bool:
    """The interpreter starts, fits, and has pip."""
    check = "import sys, pip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))"
    try:
        command = [str(python_in_venv()), "-I", "-c", check]
        done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _create() -> None:
    if VENV.is_symlink() or VENV.is_file():
        VENV.unlink()
    # The versioned interpreter, not `python3`: a system update must not swap it under us.
    builder = venv.EnvBuilder(clear=True, with_pip=True, symlinks=os.name != "nt")
    builder.create(VENV)


def _stamp(kind: str) -> None:
    """Say "whole": the copies first, the mark of an unfinished set-up away last."""
    for done in ("runtime", kind):
        temporary = SETUP / f".{done}.tmp"
        shutil.copyfile(ROOT / "pyproject.toml", temporary)
        temporary.replace(SETUP / f"{done}.toml")
    IN_PROGRESS.unlink()


def _environment() -> dict[str, str]:
    """For children: no foreign Python path, no `--user`."""
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    return {**kept, "PIP_USER": "0", "PYTHONUTF8": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def _pip(console: Console, arguments: list[str], **watch: object) -> None:
    command = [str(python_in_venv()), "-I", "-m", "pip", "--no-input", *arguments]
    run(console, command, env=_environment(), cwd=ROOT, **watch)  # type: ignore[arg-type]


def _install_packages(console: Console, kind: str) -> None:
    watch = _Watch(console)
    _pip(
        console,
        ["install", "--progress-bar=raw", "--editable", f".[{EXTRAS[kind]}]"],
        on_line=watch.line,
        on_tick=watch.tick,
        quiet=lambda line: bool(_PROGRESS.match(line)),
    )


class _Watch:
    """Turns pip's lines into one short sentence: package, megabytes, count."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._package = ""
        self._total = 0
        self._before = 0

    def line(self, line: str) -> None:
        if found := _PROGRESS.match(line):
            done, total = (int(n) / 1e6 for n in found.groups())
            what = text("downloading", what=self._package)
            self._console.detail(f"{what} {done:.0f} / {total:.0f} MB" if total >= 1 else what)
        elif found := _DOWNLOADING.match(line):
            self._package = found.group(1)
            self._console.detail(text("downloading", what=self._package))
        elif found := _COLLECTING.match(line):
            self._console.detail(text("resolving", what=found.group(1)))
        elif found := _INSTALLING.match(line):
            self._total = found.group(1).count(",") + 1
            self._before = _count_installed()

    def tick(self) -> None:
        if self._total:
            done = min(self._total, max(0, _count_installed() - self._before))
            self._console.detail(text("installing", done=done, total=self._total))


def _site_packages() -> Path:
    if os.name == "nt":
        return VENV / "Lib" / "site-packages"
    found = sorted((VENV / "lib").glob("python3.*/site-packages"))
    return found[-1] if found else VENV / "lib" / "site-packages"


def _count_installed() -> int:
    return sum(1 for _ in _site_packages().glob("*.dist-info"))


def _remove_damaged(console: Console) -> None:
    """Take the metadata of half-installed packages away, so that pip installs them again.

    After a kill in the middle pip believes its own metadata, which is written before the last
    files: neither `pip check` nor a second `pip install` would notice.
    """
    damaged = [d for d in _site_packages().glob("*.dist-info") if not _is_whole(d)]
    for leftover in _site_packages().glob("~*"):
        shutil.rmtree(leftover, ignore_errors=True)
    for dist_info in damaged:
        shutil.rmtree(dist_info)
    if damaged:
        console.say(text("repairing", count=len(damaged)))
        console.log("damaged: " + ", ".join(d.name for d in damaged))
    if any(d.name.startswith("pip-") for d in damaged):
        subprocess.run([str(python_in_venv()), "-I", "-m", "ensurepip", "--upgrade"], check=False)


def _is_whole(dist_info: Path) -> bool:
    try:
        lines = (dist_info / "RECORD").read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    if not (dist_info / "INSTALLER").is_file():  # pip writes it after the package's files
        return False
    return all(_is_there(_site_packages() / name, size) for name, size in _recorded(lines))


def _recorded(lines: list[str]) -> Iterator[tuple[str, int | None]]:
    """Files and sizes of a RECORD (specification "Recording installed projects" of PyPA)."""
    for row in csv.reader(lines):
        if len(row) == 3 and not row[0].endswith(".pyc"):
            yield row[0], int(row[2]) if row[2].isdigit() else None


def _is_there(path: Path, size: int | None) -> bool:
    try:
        return size is None or path.stat().st_size == size
    except OSError:
        return False


def wait_a_moment() -> None:
    """Between two looks at a lock."""
    time.sleep(0.3)


def version() -> str:
    """Of the Python that sets up."""
    return f"{sys.version_info[0]}.{sys.version_info[1]}"
