"""A real window over a real, empty home; no display needed."""

from __future__ import annotations

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("PYQTGRAPH_QT_LIB", "PySide6")

from collections.abc import Callable, Iterator

import pytest
from PySide6.QtWidgets import QApplication

from app.bootstrap import Deck, compose
from core.paths import Home


@pytest.fixture
def open_deck(qapp: QApplication, home: Home) -> Iterator[Callable[[], Deck]]:
    """Opens decks over the test's home, as often as asked; takes all of them apart at the end."""
    made: list[Deck] = []

    def open_one() -> Deck:
        made.append(compose(qapp, home))
        return made[-1]

    yield open_one
    for deck in made:
        deck.window.ctx.language.set_choice("en")
        deck.close()
        deck.window.hide()
        deck.delete()


@pytest.fixture
def deck(open_deck: Callable[[], Deck]) -> Deck:
    """Everything wired, in English and light; no timer runs."""
    made = open_deck()
    made.window.ctx.settings.change(language="en", scheme="light", on_close="leave")
    made.window.ctx.language.set_choice("en")
    made.window.ctx.theme.set_preference("light")
    return made
