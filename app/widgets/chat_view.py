"""The conversation: turns from top to bottom, the newest in view while it grows."""

from __future__ import annotations

import time
from collections.abc import Callable

from PySide6.QtCore import QTimer, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QVBoxLayout, QWidget

from app.viewmodels.chat_turns import Turn
from app.widgets.buttons import Button
from app.widgets.card import GAP
from app.widgets.chat_bubbles import AnswerBubble, TurnView
from app.widgets.scroll_column import ScrollColumn

_DRAW_MS = 50
"""A fast model writes hundreds of pieces a second; laying text out again costs more than that."""
_SHARE = 4
"""Drawing may take one part in so many of the UI thread's time."""
_LIVE_MS = 500
_NEAR_PX = 40

Powers = Callable[[Turn, int], tuple[bool, bool, bool]]


class ChatView(ScrollColumn):
    """`show_turns` when turns come or go, `touch` with every piece."""

    asked = Signal(str, object, int)
    """What, of which turn, in which column."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        body = QWidget()
        self._column = QVBoxLayout(body)
        self._column.setContentsMargins(0, 0, 6, 0)
        self._column.setSpacing(GAP)
        self._column.addStretch(1)
        self.set_column(body)
        self.turns: list[TurnView] = []
        self.draws = 0
        """How often the growing turn was drawn."""
        self._follow = True
        self._powers: Powers = lambda _turn, _column: (False, False, False)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_DRAW_MS)
        self._timer.timeout.connect(self._draw)
        self._live = QTimer(self)
        self._live.setInterval(_LIVE_MS)
        self._live.timeout.connect(self.touch)
        self.down_button = Button(kind="icon", icon_name="arrow-down", parent=self)
        self.down_button.setProperty("kind", "secondary")
        self.down_button.hide()
        self.down_button.clicked.connect(self.follow)
        self.verticalScrollBar().rangeChanged.connect(self._grown)
        self.verticalScrollBar().valueChanged.connect(self._moved)

    def show_turns(self, turns: list[Turn], powers: Powers | None = None) -> None:
        """Add what is new, take away what is gone.

        Args:
            turns: all of them.
            powers: of a turn's column, whether it is the last, can be asked again, be continued.
        """
        self._powers = powers or self._powers
        kept = [v for v in self.turns if any(v.turn is t for t in turns)]
        for gone in self.turns:
            if gone not in kept:
                self._column.removeWidget(gone)
                gone.hide()
                gone.deleteLater()
        by_turn = {id(v.turn): v for v in kept}
        grown = len(turns) > len(kept)
        self.turns = [by_turn.get(id(t)) or self._made(t) for t in turns]
        for number, view in enumerate(self.turns):
            self._column.insertWidget(number, view)
        self._follow = self._follow or grown
        self.refresh_all()

    def _made(self, turn: Turn) -> TurnView:
        view = TurnView(turn)
        view.asked.connect(lambda what, column: self.asked.emit(what, turn, column))
        return view

    def refresh_all(self) -> None:
        """Draw every turn, and say anew what may be asked of it."""
        models = {a.model for v in self.turns for a in v.turn.answers}
        for view in self.turns:
            view.refresh()
            for number, bubble in enumerate(view.answers):
                bubble.set_named(len(models) > 1 or len(view.answers) > 1)
                self._empower(view, number, bubble)

    def set_busy(self, busy: bool) -> None:
        """While answers are written, seconds and countdowns go on without new pieces."""
        if busy:
            self._live.start()
        else:
            self._live.stop()
        for view in self.turns:
            view.question.set_busy(busy)
        self.refresh_all()

    def touch(self) -> None:
        """The last turn grew; it is drawn soon."""
        if not self._timer.isActive():
            self._timer.start()

    def follow(self) -> None:
        """Back to the end, and stay there."""
        self._follow = True
        self._grown(0, self.verticalScrollBar().maximum())
        self.down_button.hide()

    @property
    def following(self) -> bool:
        """The end stays in view while it grows."""
        return self._follow

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Keep the way down at its place."""
        super().resizeEvent(event)
        size = self.down_button.sizeHint()
        self.down_button.resize(size)
        self.down_button.move(
            (self.width() - size.width()) // 2, self.height() - size.height() - 10
        )

    def _empower(self, view: TurnView, number: int, bubble: AnswerBubble) -> None:
        last, can_ask, can_go_on = self._powers(view.turn, number)
        bubble.set_powers(last=last, can_ask=can_ask, can_go_on=can_go_on)

    def _draw(self) -> None:
        if not self.turns:
            return
        begun = time.perf_counter()
        self.draws += 1
        self.turns[-1].refresh()
        took_ms = (time.perf_counter() - begun) * 1000
        self._timer.setInterval(max(_DRAW_MS, round(took_ms * _SHARE)))

    def _grown(self, _low: int, high: int) -> None:
        if self._follow:
            self.verticalScrollBar().setValue(high)
        self.down_button.setVisible(not self._follow and high > 0)

    def _moved(self, value: int) -> None:
        """Who scrolls up wants to read; who comes back to the end wants to follow."""
        high = self.verticalScrollBar().maximum()
        self._follow = value >= high - _NEAR_PX
        self.down_button.setVisible(not self._follow)
        self.down_button.raise_()

    def retranslate_down(self, text: str) -> None:
        """Name the way down."""
        self.down_button.set_text(text)
