"""Plays the main job on the real pages: the same fields and buttons that a person would use."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, QTimer, QUrl, Signal
from PySide6.QtGui import QDesktopServices

from app.demo.narration import NarrationBar
from app.demo.plan import PRESET, DemoPlan, error_of
from app.messages import error_text
from core.errors import AppError, ErrorCode
from core.supervisor import RunView

if TYPE_CHECKING:
    from app.main_window import MainWindow

Wait = Callable[[], bool]
"""Asked several times a second; the script goes on when it is true. May raise AppError."""

_TURN_MS = 100
STEPS = 6


class Director(QObject):
    """Walks through the window by a script that can be left at any moment.

    The script is a generator: it does one thing as a person would, then yields what to wait for.

    Args:
        window: the real one, shown.
        plan: what to do.
        pace: 1.0 leaves time to read; tests take less.
    """

    finished = Signal(bool)
    """True when the script came to its end."""

    def __init__(self, window: MainWindow, plan: DemoPlan, *, pace: float = 1.0) -> None:
        super().__init__(window)
        self._window = window
        self._services = window.ctx.services
        self._plan = plan
        self._pace = pace
        self.bar = NarrationBar(STEPS)
        window.dock_below(self.bar)
        self.bar.stop_asked.connect(self.stop)
        self.bar.report_asked.connect(self._open_report)
        self._script: Iterator[Wait] | None = None
        self._wait: Wait = _go_on
        self.runs: list[str] = []
        """Ids of the runs it started, in order."""
        self._trained = ""
        self.answers: list[str] = []
        """To the plan's question, untuned first."""
        self._timer = QTimer(self)
        self._timer.setInterval(_TURN_MS)
        self._timer.timeout.connect(self._turn)

    def start(self) -> None:
        """Begin."""
        self._script = self._play()
        self._timer.start()

    def stop(self) -> None:
        """Leave the script, stop the runs it started, hand the window over."""
        if self._script is None:  # it is over: the button closes the bar
            self.bar.hide()
            return
        self._end(self.tr("The demo was stopped. The window is yours."), whole=False)
        self.stop_runs()

    def stop_runs(self) -> None:
        """Ask every run of the demo that is alive to stop."""
        for run_id in self.runs:
            self._stop_run(run_id)

    @property
    def question(self) -> str:
        """In the language of the window."""
        chinese = self._window.ctx.language.language == "zh"
        return self._plan.taught[-1 if chinese else 0]

    # the machinery

    def _turn(self) -> None:
        if self._script is None:
            return
        try:
            if self._wait():
                self._wait = next(self._script)
        except StopIteration:
            self._end(self._last_words(), whole=True)
        except AppError as e:
            said = error_text(e.info, self._window.ctx.language.language)
            text = self.tr("The demo cannot go on: {message} {hint}")
            self._end(text.format(message=said.message, hint=said.hint), whole=False)

    def _end(self, text: str, *, whole: bool) -> None:
        self._timer.stop()
        self._script = None
        self.bar.end(text, report=whole)
        self.finished.emit(whole)

    def _pause(self, seconds: float) -> Wait:
        end = time.monotonic() + seconds * self._pace
        return lambda: time.monotonic() >= end

    def _page(self, page_id: str, **args: object) -> Any:
        """Bring a page to the front. `Any`: each page has its own widgets."""
        self._window.navigate(page_id, **args)
        return self._window.page(page_id)

    # the script

    def _play(self) -> Iterator[Wait]:
        self.bar.tell(
            self.tr(
                "This demo does the main job by itself: ask a small model, teach it, serve it, "
                "and ask again. Everything you see is real and happens on this computer."
            ),
            0,
        )
        self._window.navigate("overview")
        yield self._pause(6)
        self.bar.tell(self.tr("First the untuned model: one button starts its local API."), 1)
        server = yield from self._deploy(adapter="")
        self.bar.tell(self.tr("A question about what it has not learned yet:"), 2)
        yield from self._ask(server)
        yield from self._stop_and_wait(server)
        yield from self._train()
        self.bar.tell(self.tr("Now the tuned model, with its adapter on top:"), 4)
        server = yield from self._deploy(adapter=self._trained)
        self.bar.tell(self.tr("The same question again:"), 5)
        yield from self._ask(server)
        yield self._pause(3)

    def _deploy(self, adapter: str) -> Any:
        """Fill the Deploy form, press Start, wait until the API answers."""
        page = self._page("deploy")
        page.show_form()
        page.form.choose(model=self._plan.spec.model, adapter=adapter)
        yield self._pause(3)
        page.form.start_button.click()
        yield lambda: self._started(page)
        server = str(page.model.view.run_id)
        self.runs.append(server)
        yield lambda: self._ready(page)
        yield self._pause(3)
        return server

    def _ask(self, server: str) -> Iterator[Wait]:
        """Type the question into the chat, send it, and wait for the whole answer."""
        page = self._page("chat", run_id=server)
        yield lambda: bool(page.chat.can_ask)
        page.chat.clear()
        page.settings.temperature.setValue(0.0)
        page.input.setPlainText(self.question)
        yield self._pause(2)
        page.send_button.click()
        yield lambda: bool(page.chat.turns) and not page.chat.busy
        self.answers.append(page.chat.turns[-1].answers[0].text.strip())
        yield self._pause(5)

    def _train(self) -> Any:
        """Fill the Train form, press Start, watch the curves to the end."""
        self.bar.tell(
            self.tr("Teaching: LoRA on {samples} bundled examples. Watch the loss fall.").format(
                samples=f"{self._plan.train_samples:,}"
            ),
            3,
        )
        page = self._page("train")
        page.show_form()
        self._fill(page.form)
        yield self._pause(4)
        page.form.start_button.click()
        yield lambda: self._started(page)
        self._trained = str(page.model.view.run_id)
        self.runs.append(self._trained)
        yield lambda: self._over(page)
        if page.model.view.status != "completed":
            raise error_of(page.model.view)
        yield self._pause(4)

    def _fill(self, form: Any) -> None:
        spec = self._plan.spec
        form.choose(model=spec.model, data=spec.data)
        index = form.how.preset_box.findData(PRESET)
        form.how.preset_box.setCurrentIndex(index)
        form.how.preset_box.activated.emit(index)
        form.how.amount_box.setCurrentIndex(form.how.amount_box.findData("steps"))
        form.how.amount_line.setText(str(spec.max_steps))
        form.how.name_line.setText(spec.name)
        form.how.prompts.setPlainText("\n".join(spec.sample_prompts))

    def _stop_and_wait(self, server: str) -> Iterator[Wait]:
        self._stop_run(server)
        yield lambda: not self._services.supervisor.view(server).alive

    # what is waited for

    def _started(self, page: Any) -> bool:
        """Pages start runs at once or say at the field or in a card why not."""
        if page.model.view is None or page.model.view.finished:
            raise AppError(ErrorCode.BAD_USAGE, detail=self.tr("The page says what is wrong."))
        return True

    def _ready(self, page: Any) -> bool:
        if page.model.view.finished:
            raise error_of(page.model.view)
        return bool(page.model.state == "ready")

    def _over(self, page: Any) -> bool:
        view: RunView = page.model.view
        return view.finished and not view.alive

    # the end

    def _stop_run(self, run_id: str) -> None:
        try:
            if self._services.supervisor.view(run_id).alive:
                self._services.supervisor.stop(run_id)
        except AppError:  # it ended by itself in this very moment
            return

    def _last_words(self) -> str:
        view = self._services.supervisor.view(self._trained)
        curve = next((c for c in view.series.eval_loss.values() if len(c) > 1), None)
        if curve is None:
            return self.tr("Done. The API goes on until you stop it.")
        return self.tr(
            "Done. Loss on questions it never saw: {before} before, {after} after. "
            "The API goes on until you stop it on the Deploy page."
        ).format(before=f"{curve.ys[0]:.2f}", after=f"{curve.ys[-1]:.2f}")

    def _open_report(self) -> None:
        try:
            path = self._services.runs.report(self._trained)
        except AppError as e:
            self._window.show_error(e.info)
            return
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(path)))


def _go_on() -> bool:
    return True
