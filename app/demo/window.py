"""Open the window and let the director play in it."""

from __future__ import annotations

from app.bootstrap import Deck, run_window
from app.demo.director import Director
from app.demo.plan import make_plan


def play_in_window() -> int:
    """Until the window is closed; the process's exit code."""
    plan = make_plan()

    def direct(deck: Deck) -> None:
        director = Director(deck.window, plan)
        director.start()

    return run_window(on_open=direct)
