"""Opening invented runs on the train page."""

from __future__ import annotations

import json
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton

from app.bootstrap import Deck
from core.runlog.run_dir import RunDir


def show(deck: Deck, run: RunDir) -> None:
    """Open a run as the list of runs does, and read its events to the end."""
    deck.window.navigate("train", run_id=run.run_id)
    for _ in range(500):
        deck.bridge.tick()
        if deck.window.current_page.model.view.caught_up:
            return
    raise AssertionError("the events were never read to the end")


def click(button: QAbstractButton) -> None:
    """As a user does: it must be there and enabled."""
    assert button.isVisible()
    assert button.isEnabled()
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def sent(run: RunDir) -> list[dict[str, Any]]:
    """Commands that the worker was given."""
    return [json.loads(line) for line in run.control.read_text().splitlines()]
