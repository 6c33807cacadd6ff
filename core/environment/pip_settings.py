"""Where pip is told to look, from its own settings, without starting pip."""

from __future__ import annotations

import configparser
import os
import re
import sys
from pathlib import Path

_CREDENTIALS = re.compile(r"//[^/@\s]+@")


def pip_index() -> str:
    """Setting names that decide where packages come from, without secrets; "" for pip's default."""
    found = {**_from_files(), **_from_environment()}
    return "; ".join(f"{k}={_CREDENTIALS.sub('//***@', v)}" for k, v in sorted(found.items()))


def index_is_off() -> bool:
    """Pip is told to ask no index and has no other place to look."""
    found = {**_from_files(), **_from_environment()}
    off = found.get("no-index", "").lower() in ("1", "true", "yes", "on")
    return off and not found.get("find-links")


_KEYS = ("index-url", "extra-index-url", "no-index", "find-links")


def _from_environment() -> dict[str, str]:
    names = {key: "PIP_" + key.upper().replace("-", "_") for key in _KEYS}
    return {key: value for key, name in names.items() if (value := os.environ.get(name))}


def _from_files() -> dict[str, str]:
    found: dict[str, str] = {}
    for path in _files():
        parser = configparser.RawConfigParser()
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError, OSError):
            continue
        for section in ("global", "install", "download"):
            if parser.has_section(section):
                options = dict(parser.items(section))
                found.update({k: " ".join(options[k].split()) for k in _KEYS if k in options})
    return found


def _files() -> list[Path]:
    """In pip's order, later ones win (https://pip.pypa.io/en/stable/topics/configuration/)."""
    named = os.environ.get("PIP_CONFIG_FILE")
    if named == os.devnull:
        return []
    if os.name == "nt":
        appdata = Path(os.environ.get("APPDATA", Path.home()))
        own = [Path.home() / "pip" / "pip.ini", appdata / "pip" / "pip.ini"]
        site = [Path(sys.prefix) / "pip.ini"]
    else:
        config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
        own = [
            Path("/etc/pip.conf"),
            Path.home() / ".pip" / "pip.conf",
            config / "pip" / "pip.conf",
        ]
        site = [Path(sys.prefix) / "pip.conf"]
    return own + site + ([Path(named)] if named else [])
