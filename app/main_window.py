"""The window: side bar, notices, one page at a time. Pages are built at their first show."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable

from PySide6.QtCore import QByteArray, QEvent, Signal
from PySide6.QtGui import QCloseEvent, QHideEvent, QKeySequence, QShortcut, QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QMainWindow, QStackedWidget, QVBoxLayout, QWidget

from app.background import Background, to_error_info
from app.bridge import Bridge
from app.i18n import LanguageManager
from app.leaving import Leaving
from app.pages.base import AppContext, Page
from app.pages.registry import PAGES, make_page
from app.settings_store import SettingsStore
from app.theme.icons import app_icon
from app.theme.manager import ThemeManager
from app.theme.tokens import Tone
from app.widgets.notice_bar import NoticeBar
from app.widgets.side_bar import SideBar
from core.errors import ErrorInfo
from core.services import Services

DEFAULT_SIZE = (1360, 860)
MINIMUM_SIZE = (960, 620)
_log = logging.getLogger(__name__)


class BrokenPage(Page):
    """In the place of a page that could not be built; says why."""

    def __init__(self, ctx: AppContext, page_id: str, error: ErrorInfo) -> None:
        super().__init__(ctx)
        self._broken_id = page_id
        self.content.addStretch(1)
        self.show_error(error)

    def retranslate(self) -> None:
        """Name the page that failed."""
        self.set_title(self.tr("The page “{name}” could not open").format(name=self._broken_id))


class MainWindow(QMainWindow):
    """Owns the pages; everything else is handed in by `app.bootstrap`."""

    first_shown = Signal()
    """The window was painted for the first time."""
    closed = Signal()
    """The window is gone and the program may end."""

    def __init__(
        self,
        services: Services,
        bridge: Bridge,
        theme: ThemeManager,
        language: LanguageManager,
        settings: SettingsStore,
        background: Background,
    ) -> None:
        super().__init__()
        self.ctx = AppContext(
            services, bridge, theme, language, settings, background, self.navigate, self.notify
        )
        self.side_bar = SideBar()
        self.notice_bar = NoticeBar()
        self.stack = QStackedWidget()
        self.pages: dict[str, Page] = {}
        self._current = ""
        self._announced = False
        self._leaving = Leaving(self, services, settings)
        self._lay_out()
        self._connect()
        self._restore()

    @property
    def current_page(self) -> Page | None:
        """The page at the front."""
        return self.pages.get(self._current)

    @property
    def shown_run_id(self) -> str:
        """The run that the page at the front is about; empty for none."""
        page = self.current_page
        return page.shown_run_id if page is not None and not self.isMinimized() else ""

    def navigate(self, page_id: str, **args: object) -> None:
        """Bring a page to the front; `args` reach its `on_shown`."""
        if (before := self.current_page) is not None and self._current != page_id:
            self._guard(before.on_hidden)
        page = self.page(page_id)
        self._current = page_id
        self.side_bar.select(page_id)
        self.stack.setCurrentWidget(page)
        page.ensure_translated()
        self._guard(lambda: page.on_shown(dict(args)))
        self.setWindowTitle(f"{self.side_bar.page_name(page_id)} – DeepDeck")
        self.ctx.settings.change(last_page=page_id)

    def page(self, page_id: str) -> Page:
        """A page, built if it was not yet."""
        if page_id not in self.pages:
            made = self._build(page_id)
            self.pages[page_id] = made
            self.stack.addWidget(made)
        return self.pages[page_id]

    def notify(
        self,
        text: str,
        tone: Tone = "neutral",
        *,
        action: str = "",
        on_action: Callable[[], None] | None = None,
    ) -> None:
        """Say something at the top of the window."""
        self.notice_bar.add(text, tone, action=action, on_action=on_action)

    def show_error(self, error: ErrorInfo) -> None:
        """Show an error that belongs to no page."""
        self.notice_bar.show_error(error)

    def dock_below(self, widget: QWidget) -> None:
        """Keep a widget under the pages: what accompanies all of them, as the demo's words."""
        self._column.addWidget(widget)

    def raise_to_front(self) -> None:
        """Another start of the program asked for the window."""
        self.showNormal() if self.isMinimized() else self.show()
        self.raise_()
        self.activateWindow()

    def refresh(self) -> None:
        """F5."""
        if (page := self.current_page) is not None:
            self._guard(lambda: page.on_shown({}))

    def showEvent(self, event: QShowEvent) -> None:
        """Tick at full speed."""
        super().showEvent(event)
        self.ctx.bridge.set_window_visible(True)
        if not self._announced:
            self._announced = True
            self.first_shown.emit()

    def hideEvent(self, event: QHideEvent) -> None:
        """Tick less often."""
        super().hideEvent(event)
        self.ctx.bridge.set_window_visible(False)

    def changeEvent(self, event: QEvent) -> None:
        """A minimized window needs news less often; a new language renames the title."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.WindowStateChange:
            self.ctx.bridge.set_window_visible(not self.isMinimized())
        if event.type() == QEvent.Type.LanguageChange and self._current:
            self.setWindowTitle(f"{self.side_bar.page_name(self._current)} – DeepDeck")

    def closeEvent(self, event: QCloseEvent) -> None:
        """Ask about live runs first; the program ends when the answer is in."""
        if not self._leaving.may_close():
            event.ignore()
            return
        self._save_geometry()
        event.accept()
        self.closed.emit()

    def _lay_out(self) -> None:
        self.setWindowTitle("DeepDeck")
        self.setWindowIcon(app_icon())
        self.setMinimumSize(*MINIMUM_SIZE)
        right = self._column = QVBoxLayout()
        right.setContentsMargins(0, 0, 0, 0)
        right.setSpacing(0)
        right.addWidget(self.notice_bar)
        right.addWidget(self.stack, 1)
        center = QWidget()
        row = QHBoxLayout(center)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        row.addWidget(self.side_bar)
        row.addLayout(right, 1)
        self.setCentralWidget(center)

    def _connect(self) -> None:
        self.side_bar.selected.connect(self.navigate)
        self.ctx.bridge.machine_sampled.connect(self.side_bar.machine_card.show_sample)
        self.ctx.bridge.failed.connect(self.show_error)
        self.ctx.settings.failed.connect(self.show_error)
        for number, page in enumerate(PAGES, start=1):
            shortcut = QShortcut(QKeySequence(f"Ctrl+{number % 10}"), self)
            shortcut.activated.connect(self.side_bar.buttons[page.page_id].click)
        QShortcut(QKeySequence(QKeySequence.StandardKey.Refresh), self).activated.connect(
            self.refresh
        )

    def _build(self, page_id: str) -> Page:
        try:
            return make_page(page_id, self.ctx)
        except Exception as e:  # noqa: BLE001 - the other pages must stay usable
            _log.exception("page %s", page_id)
            return BrokenPage(self.ctx, page_id, to_error_info(e))

    def _guard(self, action: Callable[[], object]) -> None:
        """A page that fails must not take the window with it."""
        try:
            action()
        except Exception as e:  # noqa: BLE001 - see above
            _log.exception("page %s", self._current)
            self.show_error(to_error_info(e))

    def _restore(self) -> None:
        self.resize(*DEFAULT_SIZE)
        stored = self.ctx.settings.value.window_geometry
        if stored:
            self.restoreGeometry(QByteArray(base64.b64decode(stored, validate=False)))

    def _save_geometry(self) -> None:
        raw = bytes(self.saveGeometry().data())
        self.ctx.settings.change(window_geometry=base64.b64encode(raw).decode())
