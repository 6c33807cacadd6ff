"""Is everything here that DeepDeck stands on? Answered in well under three seconds, without torch.

A finding is a value: id, level and facts. `app.texts.findings` has the sentences and the fixes.
"""

from __future__ import annotations

import os
import platform
import socket
import sys
import tempfile
from collections.abc import Callable
from typing import Literal

from pydantic import BaseModel, ConfigDict

from core import atomic_io
from core.environment import pip_settings, runtime_packages, system_libraries
from core.errors import Param
from core.hardware import GpuBackend, gpu_backend, machine
from core.paths import PROJECT_ROOT, Home

Level = Literal["ok", "warning", "broken"]

LOW_DISK_GIB = 5.0
NO_DISK_GIB = 0.5
LOW_MEMORY_GIB = 4.0
API_PORT = 8000
"""The port that a new API asks for first."""
_SUPPORTED = ((3, 11), (3, 14))
_NOT_A_DEFECT = ("gpu.no_library", "gpu.no_device")


class Finding(BaseModel):
    """One thing that was looked at."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    """python, venv, packages, torch, gpu, disk, memory, home, index, qt, fonts or port."""
    level: Level
    params: dict[str, Param] = {}
    """Facts of the sentence."""
    fix_params: dict[str, Param] = {}
    """Facts of the fix, for example {"command": "sudo apt-get install ..."}."""


class DoctorService:
    """Looks at the machine, the environment and the home folder."""

    def __init__(self, home: Home, gpu: GpuBackend | None = None) -> None:
        self._home = home
        self._gpu = gpu

    def check(self) -> list[Finding]:
        """All findings, always all of them and in the same order. Changes nothing, never raises."""
        checks: tuple[tuple[str, Callable[[], Finding]], ...] = (
            ("python", _python),
            ("venv", _venv),
            ("packages", _packages),
            ("torch", self._torch),
            ("gpu", self._check_gpu),
            ("memory", _memory),
            ("disk", self._disk),
            ("home", self._check_home),
            ("index", _index),
            ("qt", _qt),
            ("fonts", _fonts),
            ("port", _port),
        )
        return [_safely(name, check) for name, check in checks]

    @property
    def _backend(self) -> GpuBackend:
        return self._gpu or gpu_backend()

    def _torch(self) -> Finding:
        version = runtime_packages.version_of("torch")
        if version is None:
            return Finding(
                id="torch", level="broken", params={"version": ""}, fix_params=_reinstall()
            )
        cuda = runtime_packages.torch_cuda_version()
        unused_card = cuda is None and self._backend.reason is None
        return Finding(
            id="torch",
            level="warning" if unused_card else "ok",
            params={"version": version, "build": f"CUDA {cuda}" if cuda else "CPU"},
        )

    def _check_gpu(self) -> Finding:
        cards = self._backend.sample()
        reason = self._backend.reason
        if reason is None:
            names = ", ".join(card.name for card in cards)
            driver = self._backend.driver_version or ""
            return Finding(id="gpu", level="ok", params={"names": names, "driver": driver})
        level: Level = "ok" if reason in _NOT_A_DEFECT else "warning"
        return Finding(
            id="gpu", level=level, params={"reason": reason, "detail": self._backend.detail}
        )

    def _disk(self) -> Finding:
        free = atomic_io.free_bytes(self._home.root) / 1024**3
        level: Level = (
            "broken" if free < NO_DISK_GIB else "warning" if free < LOW_DISK_GIB else "ok"
        )
        params: dict[str, Param] = {"free_gib": round(free, 1), "path": str(self._home.root)}
        return Finding(id="disk", level=level, params=params)

    def _check_home(self) -> Finding:
        place = self._home.root
        while not place.exists():
            place = place.parent
        try:
            with tempfile.TemporaryFile(dir=place):
                pass
        except OSError as e:
            params: dict[str, Param] = {"path": str(self._home.root), "detail": str(e)}
            return Finding(id="home", level="broken", params=params)
        return Finding(id="home", level="ok", params={"path": str(self._home.root)})


def _safely(name: str, check: Callable[[], Finding]) -> Finding:
    """A check that fails itself is a finding, not the end of the examination."""
    try:
        return check()
    except Exception as e:  # noqa: BLE001 - the doctor must answer on a machine that is broken
        return Finding(id=name, level="warning", params={"detail": f"{type(e).__name__}: {e}"})


def _python() -> Finding:
    fits = _SUPPORTED[0] <= sys.version_info[:2] < _SUPPORTED[1]
    return Finding(
        id="python",
        level="ok" if fits else "broken",
        params={"version": platform.python_version(), "path": sys.executable},
    )


def _venv() -> Finding:
    inside = sys.prefix != sys.base_prefix
    return Finding(
        id="venv",
        level="ok" if inside else "warning",
        params={"path": sys.prefix},
        fix_params={} if inside else _reinstall(),
    )


def _packages() -> Finding:
    face = runtime_packages.missing_packages(runtime_packages.FACE_PACKAGES)
    worker = runtime_packages.missing_packages(runtime_packages.WORKER_PACKAGES)
    missing = face + worker
    if missing:
        params: dict[str, Param] = {"missing": ", ".join(missing)}
        return Finding(id="packages", level="broken", params=params, fix_params=_reinstall())
    count = len(runtime_packages.FACE_PACKAGES) + len(runtime_packages.WORKER_PACKAGES)
    return Finding(id="packages", level="ok", params={"count": count, "missing": ""})


def _reinstall() -> dict[str, Param]:
    script = "deepdeck.cmd" if os.name == "nt" else "./deepdeck"
    return {"command": f"{script} setup --repair", "folder": str(PROJECT_ROOT)}


def _memory() -> Finding:
    found = machine()
    level: Level = "ok" if found.ram_gib >= LOW_MEMORY_GIB else "warning"
    return Finding(
        id="memory",
        level=level,
        params={
            "total_gib": round(found.ram_gib, 1),
            "available_gib": round(found.ram_available_gib, 1),
        },
    )


def _index() -> Finding:
    level: Level = "warning" if pip_settings.index_is_off() else "ok"
    return Finding(id="index", level=level, params={"settings": pip_settings.pip_index()})


def _qt() -> Finding:
    missing = system_libraries.missing_libraries(window=_has_display())
    if not missing:
        return Finding(id="qt", level="ok", params={"missing": ""})
    packages = [library.debian_package for library in missing]
    return Finding(
        id="qt",
        level="broken",
        params={"missing": ", ".join(library.soname for library in missing)},
        fix_params={"command": system_libraries.install_command(packages)},
    )


def _has_display() -> bool:
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _fonts() -> Finding:
    if system_libraries.has_chinese_font():
        return Finding(id="fonts", level="ok")
    command = system_libraries.install_command([system_libraries.CHINESE_FONT_PACKAGE])
    return Finding(id="fonts", level="warning", fix_params={"command": command})


def _port(port: int = API_PORT) -> Finding:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        if os.name != "nt":  # on Windows this option would allow two servers on one port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as e:
            return Finding(id="port", level="warning", params={"port": port, "detail": str(e)})
    return Finding(id="port", level="ok", params={"port": port})
