"""System packages: installed where that is ours to do (root on Debian or Ubuntu), else named."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys

from bootstrap_console import Console, StepFailed, run
from bootstrap_text import text

from core.environment import system_libraries as libraries


def may_install() -> bool:
    """Root on a system with apt: a container, a CI machine."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return False
    return is_debian() and shutil.which("apt-get") is not None


def is_debian() -> bool:
    """Debian or one of its children."""
    try:
        release = platform.freedesktop_os_release()
    except (OSError, AttributeError):
        return False
    family = {release.get("ID", ""), *release.get("ID_LIKE", "").split()}
    return bool(family & {"debian", "ubuntu"})


def ensure_venv_module(console: Console) -> None:
    """Debian splits `venv` and `ensurepip` off Python.

    Raises:
        SystemExit: they are missing and cannot be installed here.
    """
    if importlib.util.find_spec("ensurepip") and importlib.util.find_spec("venv"):
        return
    package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
    if may_install() and _apt(console, [package]):
        importlib.invalidate_caches()
        return
    console.say(text("venv_missing", command=libraries.install_command([package])))
    raise SystemExit(1)


def ensure_libraries(console: Console, *, window: bool, tests: bool) -> bool:
    """Install what Qt lacks where we may; true when nothing is missing any more.

    Args:
        window: a window will be opened, so its X11 libraries count.
        tests: also a virtual display, for the tests that open real windows.
    """
    wanted = [x.debian_package for x in libraries.missing_libraries(window=window or tests)]
    fonts = [] if libraries.has_chinese_font() else [libraries.CHINESE_FONT_PACKAGE]
    extras = ["xvfb", "xauth"] if tests and shutil.which("Xvfb") is None else []
    if not wanted + fonts + extras:
        return True
    if may_install():
        console.phase(text("system"))
        console.detail(" ".join(wanted + fonts + extras))
        if _apt(console, wanted + fonts + extras):
            console.done()
    elif fonts and is_debian():
        console.say(text("font_missing", command=libraries.install_command(fonts)))
    return not libraries.missing_libraries(window=window)


def explain_missing(console: Console, *, window: bool) -> None:
    """Name the missing libraries and the one line that brings them."""
    missing = libraries.missing_libraries(window=window)
    console.say(
        text(
            "libraries_missing",
            names=", ".join(x.soname for x in missing),
            command=libraries.install_command([x.debian_package for x in missing]),
        )
    )


def _apt(console: Console, packages: list[str]) -> bool:
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    try:
        # Lists are often empty in containers, and old ones name files that are gone.
        run(console, ["apt-get", "update"], env=env)
        run(console, install, env=env)
    except StepFailed:
        console.say(text("apt_failed"))
        return False
    return True
