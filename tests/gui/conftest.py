"""A real window over a real, empty home; no display needed."""

from __future__ import annotations

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("PYQTGRAPH_QT_LIB", "PySide6")

from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication

from app.bootstrap import Deck, compose
from core.paths import Home


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("DEEPDECK_HOME", str(tmp_path / "home"))
    return Home(tmp_path / "home")


@pytest.fixture
def deck(qapp: QApplication, home: Home) -> Iterator[Deck]:
    """Everything wired, in English and light; no timer runs."""
    made = compose(qapp, home)
    made.window.ctx.settings.change(language="en", scheme="light", on_close="leave")
    made.window.ctx.language.set_choice("en")
    made.window.ctx.theme.set_preference("light")
    yield made
    made.close()
    made.window.close()
    made.window.deleteLater()
    for owned in (made.announcer, made.bridge, made.background, made.reporter):
        owned.deleteLater()
    made.window.ctx.language.set_choice("en")
    qapp.sendPostedEvents(None, 0)
