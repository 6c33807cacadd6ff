"""The composition root: the one place where the window's objects are made and wired."""

from __future__ import annotations

import faulthandler
import logging
import logging.handlers
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

# Before anything imports pyqtgraph: it would take another binding that happens to be installed.
os.environ.setdefault("PYQTGRAPH_QT_LIB", "PySide6")
os.environ.setdefault("QT_API", "pyside6")

import shiboken6
from PySide6.QtCore import QCoreApplication, QObject, QTimer, Signal
from PySide6.QtWidgets import QApplication

from app.announcer import Announcer
from app.background import Background, to_error_info
from app.bridge import Bridge
from app.desktop_notice import DesktopNotice
from app.i18n import LanguageManager
from app.main_window import MainWindow
from app.pages.registry import PAGES
from app.queue_worker import QueueWorker
from app.settings_store import SettingsStore
from app.single_instance import InstanceServer, raise_first_window
from app.theme.manager import ThemeManager
from core import services
from core.errors import AppError
from core.paths import Home

_LOG_BYTES = 1_000_000
_SIGNAL_POLL_MS = 250
_log = logging.getLogger(__name__)


@dataclass
class Deck:
    """Everything of one window, held so that nothing is collected."""

    app: QApplication
    root: QObject
    """Owns all that is no widget, so that it goes with the window."""
    window: MainWindow
    bridge: Bridge
    background: Background
    announcer: Announcer
    reporter: ExceptionReporter
    queue: QueueWorker

    def close(self) -> None:
        """Stop timers and threads, in this order, before Qt takes its objects apart."""
        self.reporter.uninstall()
        self.bridge.stop()
        self.queue.stop()
        self.background.close()

    def delete(self) -> None:
        """Take window and objects apart now, pages first; for tests and the end of the program."""
        shiboken6.delete(self.window)
        shiboken6.delete(self.root)


class ExceptionReporter(QObject):
    """What no slot caught is logged and shown; what no thread caught is logged."""

    reported = Signal(object)
    """ErrorInfo, always on the UI thread."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._hooks = (sys.excepthook, threading.excepthook)

    def install(self) -> None:
        """Take over the hooks."""
        sys.excepthook = self._except
        threading.excepthook = self._thread_except

    def uninstall(self) -> None:
        """Give the hooks back."""
        sys.excepthook, threading.excepthook = self._hooks

    def _except(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        if issubclass(kind, KeyboardInterrupt):
            QCoreApplication.quit()
            return
        _log.critical("uncaught", exc_info=(kind, error, trace))
        if threading.current_thread() is threading.main_thread():
            self.reported.emit(to_error_info(error))

    def _thread_except(self, args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None:
            self._except(args.exc_type, args.exc_value, args.exc_traceback)


def make_app(argv: list[str] | None = None) -> QApplication:
    """The one `QApplication`, plain: PySide crashes on subclasses of it."""
    existing = QApplication.instance()
    if isinstance(existing, QApplication):
        return existing
    app = QApplication(argv if argv is not None else sys.argv[:1])
    app.setApplicationName("deepdeck")
    app.setApplicationDisplayName("DeepDeck")
    app.setDesktopFileName("deepdeck")
    app.setQuitOnLastWindowClosed(False)
    return app


def compose(app: QApplication, home: Home) -> Deck:
    """Make and wire everything; nothing is shown, no timer runs yet."""
    root = QObject(app)
    settings = SettingsStore(home, root)
    language = LanguageManager(settings.value.language, root)
    language.apply()
    theme = ThemeManager(settings.value.scheme, root)
    theme.apply()
    found = services.build(home)
    background = Background(root)
    bridge = Bridge(found.supervisor, background, root)
    window = MainWindow(found, bridge, theme, language, settings, background)
    announcer = Announcer(
        bridge, settings, window.notify, window.navigate, lambda: window.shown_run_id, root,
        desktop=DesktopNotice(window),
    )  # fmt: skip
    queue = QueueWorker(found, background, window)
    queue.failed.connect(window.show_error)
    queue.changed.connect(bridge.tick)
    reporter = ExceptionReporter(root)
    reporter.reported.connect(window.show_error)
    reporter.install()
    return Deck(app, root, window, bridge, background, announcer, reporter, queue)


def open_window(deck: Deck, page_id: str = "overview") -> None:
    """Show the window, then find the runs that are alive from before."""
    deck.window.navigate(page_id)
    deck.window.show()
    QTimer.singleShot(0, lambda: adopt_living_runs(deck))
    deck.bridge.start()
    deck.queue.start()


def adopt_living_runs(deck: Deck) -> None:
    """Re-attach to the workers that another window, or a script, left at work."""
    found = deck.window.ctx.services
    try:
        living = [s.run_id for s in found.runs.list() if s.alive]
    except AppError as e:
        deck.window.show_error(e.info)
        return
    for run_id in living:
        try:
            found.supervisor.attach(run_id)
        except AppError as e:
            deck.window.show_error(e.info)


def start_log(home: Home) -> None:
    """Log to a bounded file in the home; a home that cannot be written stops nothing."""
    handlers: list[logging.Handler] = [logging.StreamHandler()]
    folder = home.root / "logs"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = logging.handlers.RotatingFileHandler(
            folder / "window.log", maxBytes=_LOG_BYTES, backupCount=2, encoding="utf-8"
        )
        handlers.append(file)
    except OSError:
        _log.warning("no log file in %s", folder)
    logging.basicConfig(
        level=logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        handlers=handlers,
        force=True,
    )


def _quit_on_signals(app: QApplication) -> QTimer:
    """Ctrl+C and SIGTERM close the window; runs go on. Python needs a turn to see a signal."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: app.quit())
    timer = QTimer(app)
    timer.timeout.connect(_turn)
    timer.start(_SIGNAL_POLL_MS)
    return timer


def _first_page(deck: Deck) -> str:
    """The page that was open last; a newer DeepDeck may have had pages that we lack."""
    last = deck.window.ctx.settings.value.last_page
    return last if last in {p.page_id for p in PAGES} else PAGES[0].page_id


def _turn() -> None:
    """Nothing; the interpreter handles pending signals before it runs this."""


def run_window(argv: list[str] | None = None, on_open: Callable[[Deck], None] | None = None) -> int:
    """Open the window and stay until it is closed; the process's exit code.

    Args:
        argv: for Qt.
        on_open: called once the window is shown, for what plays in it (the demo).
    """
    faulthandler.enable()
    home = Home.default()
    app = make_app(argv)
    if raise_first_window(home):
        return 0
    start_log(home)
    deck = compose(app, home)
    server = InstanceServer(home, app)
    server.raise_asked.connect(deck.window.raise_to_front)
    deck.window.closed.connect(app.quit)
    signals = _quit_on_signals(app)
    open_window(deck, _first_page(deck))
    if on_open is not None:
        on_open(deck)
    code = app.exec()
    signals.stop()
    server.close()
    deck.close()
    return code
