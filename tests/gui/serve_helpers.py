"""A window with a real server behind it."""

from __future__ import annotations

from pathlib import Path

from pytestqt.qtbot import QtBot

from app.bootstrap import Deck
from app.pages.base import Page
from core.paths import Home
from core.supervisor import RunView
from tests.tiny_models import build_tiny

START_MS = 90_000


def add_tiny(home: Home, name: str = "tiny", **more: object) -> Path:
    """A model of the library."""
    return build_tiny(home.models / name, "llama", **more)


def page(deck: Deck, page_id: str, **args: object) -> Page:
    deck.window.navigate(page_id, **args)
    deck.window.resize(1360, 860)
    deck.window.show()
    shown = deck.window.page(page_id)
    assert isinstance(shown, Page)
    return shown


def end_all(deck: Deck, qtbot: QtBot) -> None:
    """No worker outlives a test."""
    supervisor = deck.window.ctx.services.supervisor
    for run_id in supervisor.attached:
        view: RunView = supervisor.view(run_id)
        if view.alive and not view.finished:
            supervisor.kill(run_id)

    def gone() -> bool:
        supervisor.tick()
        return not any(supervisor.view(r).alive for r in supervisor.attached)

    qtbot.waitUntil(gone, timeout=20_000)
