"""The system libraries and fonts that Qt needs, and the Debian packages that bring them.

Found by starting a real window in a bare Debian 12 and adding one package at a time. Standard
library only.
"""

from __future__ import annotations

import ctypes
import os
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SystemLibrary:
    """One shared library, by the name the loader knows, and its package."""

    soname: str
    debian_package: str


ALWAYS = (
    SystemLibrary("libglib-2.0.so.0", "libglib2.0-0"),
    SystemLibrary("libGL.so.1", "libgl1"),
    SystemLibrary("libEGL.so.1", "libegl1"),
    SystemLibrary("libfontconfig.so.1", "libfontconfig1"),
    SystemLibrary("libxkbcommon.so.0", "libxkbcommon0"),
    SystemLibrary("libdbus-1.so.3", "libdbus-1-3"),
)
"""Linked by Qt itself: needed without a display too."""

FOR_A_WINDOW = (
    SystemLibrary("libxcb-cursor.so.0", "libxcb-cursor0"),
    SystemLibrary("libxcb-icccm.so.4", "libxcb-icccm4"),
    SystemLibrary("libxcb-keysyms.so.1", "libxcb-keysyms1"),
    SystemLibrary("libxcb-shape.so.0", "libxcb-shape0"),
    SystemLibrary("libxcb-xkb.so.1", "libxcb-xkb1"),
    SystemLibrary("libxkbcommon-x11.so.0", "libxkbcommon-x11-0"),
    SystemLibrary("libX11-xcb.so.1", "libx11-xcb1"),
)
"""Loaded by Qt's X11 plugin; when one is missing Qt aborts with a riddle."""

CHINESE_FONT_PACKAGE = "fonts-wqy-microhei"
"""The smallest one with good Simplified forms: 1.6 MB, against 56 MB of fonts-noto-cjk."""

_CHINESE_FONTS = (
    "notosanscjk", "notosanssc", "notoserifcjk", "sourcehansans", "wqy-", "droidsansfallback",
    "msyh", "simsun", "simhei", "pingfang", "uming", "ukai", "hiragino sans gb", "lxgw",
)  # fmt: skip


def missing_libraries(*, window: bool) -> list[SystemLibrary]:
    """What the loader cannot find. Empty on Windows and macOS: Qt's wheels bring all there.

    Args:
        window: also what a window on X11 needs; without it the offscreen platform is enough.
    """
    if not sys.platform.startswith("linux"):
        return []
    wanted = ALWAYS + (FOR_A_WINDOW if window else ())
    return [library for library in wanted if not _loads(library.soname)]


def has_chinese_font() -> bool:
    """A font with Simplified Chinese glyphs is installed (by the names of known ones)."""
    if not sys.platform.startswith("linux"):
        return True  # Windows and macOS come with one
    return any(
        name.lower().startswith(_CHINESE_FONTS)
        for folder in _font_folders()
        for _, _, names in os.walk(folder)
        for name in names
    )


def install_command(packages: list[str]) -> str:
    """The one line that a person on Debian or Ubuntu has to run."""
    return "sudo apt-get install --no-install-recommends " + " ".join(packages)


def _loads(soname: str) -> bool:
    try:
        ctypes.CDLL(soname)
    except OSError:
        return False
    return True


def _font_folders() -> list[Path]:
    home = Path.home()
    return [
        Path("/usr/share/fonts"),
        Path("/usr/local/share/fonts"),
        home / ".local" / "share" / "fonts",
        home / ".fonts",
    ]
