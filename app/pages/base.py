"""What every page shares: header, error card, scrolling content, language and visibility."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from PySide6.QtCore import QEvent, Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from app.background import Background, to_error_info
from app.bridge import Bridge
from app.i18n import LanguageManager
from app.settings_store import SettingsStore
from app.theme.manager import ThemeManager
from app.theme.tokens import Tone
from app.widgets.buttons import Button
from app.widgets.card import GAP
from app.widgets.labels import ElidedLabel
from app.widgets.notice_card import ErrorCard
from app.widgets.status_chip import StatusChip
from core.errors import AppError, ErrorInfo

if TYPE_CHECKING:
    from core.services import Services

EDGE = 22
"""Pixels from the edge of a page to its content."""


class Notify(Protocol):
    """Say something in the window's notice line."""

    def __call__(
        self,
        text: str,
        tone: Tone = "neutral",
        *,
        action: str = "",
        on_action: Callable[[], None] | None = None,
    ) -> None:
        """`action` is the label of a button in the notice; `on_action` what it does."""


class Navigate(Protocol):
    """Open a page: `navigate("train", run_id=...)`; `args` reach `Page.on_shown`."""

    def __call__(self, page_id: str, **args: object) -> None:
        """`page_id` as in `app.pages.registry`."""


@dataclass(frozen=True)
class AppContext:
    """All that a page may use, made in `app.bootstrap`."""

    services: Services
    bridge: Bridge
    theme: ThemeManager
    language: LanguageManager
    settings: SettingsStore
    background: Background
    navigate: Navigate
    notify: Notify


class Page(QWidget):
    """One page of the window.

    A subclass sets `page_id`, builds its widgets in `__init__` without any text, puts them into
    `self.content` (a vertical layout) and gives all texts in `retranslate`, which runs at the first
    show and at every change of language. Texts are literals in `self.tr("...")`.
    """

    page_id: ClassVar[str] = ""

    def __init__(self, ctx: AppContext, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.ctx = ctx
        self.setObjectName("MainArea")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.title_label = ElidedLabel("", "title")
        self.chip = StatusChip()
        self.facts_label = ElidedLabel("", "muted")
        self.header_actions = QHBoxLayout()
        self.header_actions.setSpacing(GAP)
        self.error_card = ErrorCard(closable=True)
        self.content = QVBoxLayout()
        self.content.setSpacing(GAP)
        self._lay_out()
        self._shown_once = False

    # what a subclass overrides

    def retranslate(self) -> None:
        """Set every text of the page, title included."""

    def on_shown(self, args: dict[str, object]) -> None:
        """The page came to the front; `args` are those of `navigate`."""

    @property
    def shown_run_id(self) -> str:
        """The run that this page is about now; empty for none. Its news need no notice here."""
        return ""

    def on_hidden(self) -> None:
        """Another page came to the front."""

    # what a subclass uses

    def set_title(self, text: str) -> None:
        """What this is, in 15 pt."""
        self.title_label.set_full_text(text)
        self.setAccessibleName(text)

    def set_facts(self, *facts: str) -> None:
        """The muted line under the title; empty facts are left out."""
        text = " • ".join(f for f in facts if f)
        self.facts_label.set_full_text(text)
        self.facts_label.setVisible(bool(text))

    def add_action(self, button: Button) -> Button:
        """A button at the right of the header."""
        self.header_actions.addWidget(button)
        return button

    def show_error(self, error: BaseException | ErrorInfo, log_tail: str = "") -> None:
        """Show a red card above the content."""
        info = error if isinstance(error, ErrorInfo) else to_error_info(error)
        self.error_card.show_error(info, log_tail)

    def attempt(self, action: Callable[[], object]) -> bool:
        """Do what a click asks; an `AppError` becomes the page's error card."""
        self.error_card.clear()
        try:
            action()
        except AppError as e:
            self.show_error(e)
            return False
        return True

    def ensure_translated(self) -> None:
        """Give the page its texts before it is first seen."""
        if not self._shown_once:
            self._shown_once = True
            self.retranslate()

    def changeEvent(self, event: QEvent) -> None:
        """Speak the new language."""
        if event.type() == QEvent.Type.LanguageChange and self._shown_once:
            self.retranslate()
        super().changeEvent(event)

    def _lay_out(self) -> None:
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(0)
        outer.addLayout(self._make_header())
        outer.addWidget(self._make_scroll(), 1)

    def _make_header(self) -> QHBoxLayout:
        title_line = self.title_line = QHBoxLayout()
        title_line.setSpacing(10)
        title_line.addWidget(self.title_label)
        title_line.addWidget(self.chip)
        title_line.addStretch(1)
        words = QVBoxLayout()
        words.setSpacing(3)
        words.addLayout(title_line)
        words.addWidget(self.facts_label)
        header = QHBoxLayout()
        header.setContentsMargins(EDGE, 16, EDGE, GAP)
        header.setSpacing(GAP)
        header.addLayout(words, 1)
        header.addLayout(self.header_actions)
        return header

    def _make_scroll(self) -> QScrollArea:
        body = QWidget()
        body.setObjectName("PageBody")
        column = QVBoxLayout(body)
        column.setContentsMargins(EDGE, 0, EDGE, 16)
        column.setSpacing(GAP)
        column.addWidget(self.error_card)
        column.addLayout(self.content, 1)
        scroll = QScrollArea()
        scroll.setObjectName("PageScroll")
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        scroll.setWidget(body)
        self.scroll_area = scroll
        return scroll
