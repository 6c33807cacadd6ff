"""Overview: what runs now, what ran last, the machine in plain words, what to do next."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QSize, Qt, QTimer
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from app import messages
from app.pages.base import AppContext, Page
from app.text import count_text
from app.theme.icons import icon
from app.theme.manager import ThemeManager
from app.widgets.buttons import Button
from app.widgets.card import GAP, Card, clear_layout
from app.widgets.form_row import FactList
from app.widgets.labels import label
from app.widgets.run_row import RunRow
from app.widgets.stat_strip import StatStrip
from app.widgets.status_chip import StatusChip
from core.errors import ErrorInfo
from core.hardware import MachineInfo, machine
from core.runlog.index import RunSummary
from core.services.documents import own_version

_LATEST = 6
_LIST_AGAIN_MS = 400
JOB_PAGES = {"train": "train", "serve": "deploy", "fetch": "models"}


class StepCard(Card):
    """One thing to do next."""

    def __init__(self, icon_name: str, *, primary: bool = False) -> None:
        super().__init__()
        self._icon_name = icon_name
        self._picture = QLabel()
        self._heading = label("", "heading")
        self._text = label("", "muted", wrap=True)
        self._text.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        self.chip = StatusChip()
        self.button = Button(kind="primary" if primary else "secondary")
        top = QHBoxLayout()
        top.setSpacing(10)
        top.addWidget(self._picture)
        top.addWidget(self._heading, 1)
        top.addWidget(self.chip)
        self.body.addLayout(top)
        self.body.addWidget(self._text, 1)
        self.body.addWidget(self.button, 0, Qt.AlignmentFlag.AlignLeft)
        self._draw()
        ThemeManager.current().changed.connect(self._draw)

    def set_texts(self, heading: str, text: str, action: str) -> None:
        """All its words."""
        self._heading.setText(heading)
        self._text.setText(text)
        self.button.set_text(action, text)
        self.setAccessibleName(heading)

    def _draw(self) -> None:
        self._picture.setPixmap(icon(self._icon_name, "accent").pixmap(QSize(24, 24)))


class OverviewPage(Page):
    """The first page."""

    page_id = "overview"

    def __init__(self, ctx: AppContext) -> None:
        super().__init__(ctx)
        self._machine: MachineInfo | None = None
        self.strip = StatStrip(["alive", "runs", "models", "memory", "disk"])
        self.train_step = StepCard("chart-line", primary=True)
        self.serve_step = StepCard("rocket-launch-outline")
        self.chat_step = StepCard("message-text-outline")
        self.now_card = Card()
        self.latest_card = Card()
        self.machine_card = Card()
        self.facts = FactList()
        self.summaries: list[RunSummary] = []
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_LIST_AGAIN_MS)
        self._timer.timeout.connect(self._list_runs)
        self._build()
        self._connect()

    def _build(self) -> None:
        self.content.addWidget(self.strip)
        steps = QHBoxLayout()
        steps.setSpacing(GAP)
        for step in (self.train_step, self.serve_step, self.chat_step):
            steps.addWidget(step, 1)
        self.content.addLayout(steps)
        left = QVBoxLayout()
        left.setSpacing(GAP)
        left.addWidget(self.now_card)
        left.addWidget(self.latest_card)
        left.addStretch(1)
        right = QVBoxLayout()
        right.addWidget(self.machine_card)
        right.addStretch(1)
        grid = QGridLayout()
        grid.setSpacing(GAP)
        grid.addLayout(left, 0, 0)
        grid.addLayout(right, 0, 1)
        grid.setColumnStretch(0, 3)
        grid.setColumnStretch(1, 2)
        self.content.addLayout(grid, 1)
        self.machine_card.body.addWidget(self.facts)
        self._all_runs = Button(kind="link")
        self.latest_card.title_row.addWidget(self._all_runs)
        self._now_rows = QVBoxLayout()
        self._latest_rows = QVBoxLayout()
        self.now_card.body.addLayout(self._now_rows)
        self.latest_card.body.addLayout(self._latest_rows)

    def _connect(self) -> None:
        self.train_step.button.clicked.connect(self._go_train)
        self.serve_step.button.clicked.connect(self._go_deploy)
        self.chat_step.button.clicked.connect(self._go_chat)
        self._all_runs.clicked.connect(self._go_runs)
        self.ctx.bridge.run_changed.connect(self._run_changed)

    def on_shown(self, args: dict[str, object]) -> None:
        """Look again at runs, models and machine."""
        self._list_runs()
        home = self.ctx.services.home.root
        self.ctx.background.run(self, lambda: machine(home), self._show_machine, self.show_error)
        models = self.ctx.services.models
        self.ctx.background.run(self, models.list, self._show_models, self.show_error)

    def retranslate(self) -> None:
        """Every text of the page."""
        self.set_title(self.tr("Overview"))
        version = self.tr("DeepDeck {version}").format(version=own_version())
        self.set_facts(version, short_path(self.ctx.services.home.root))
        self.strip.set_caption("alive", self.tr("Running now"))
        self.strip.set_caption("runs", self.tr("Runs kept"))
        self.strip.set_caption("models", self.tr("Models ready"))
        self.strip.set_caption("memory", self.tr("Free memory"))
        self.strip.set_caption("disk", self.tr("Free disk"))
        self._translate_steps()
        self.now_card.set_title(self.tr("Running now"))
        self.latest_card.set_title(self.tr("Latest runs"))
        self.machine_card.set_title(self.tr("This computer"))
        self._all_runs.set_text(self.tr("All runs"))
        self._show_runs()
        self._show_machine(self._machine)

    def _translate_steps(self) -> None:
        self.train_step.set_texts(
            self.tr("Fine-tune the starter model"),
            self.tr("A small model and a dataset come with DeepDeck; watch it learn live."),
            self.tr("Fine-tune"),
        )
        self.serve_step.set_texts(
            self.tr("Start a local API"),
            self.tr("Serve a model on this computer to any program that speaks to OpenAI's API."),
            self.tr("Go to Deploy"),
        )
        self.chat_step.set_texts(
            self.tr("Chat with a model"),
            self.tr("Ask the model you serve, before and after fine-tuning."),
            self.tr("Open Chat"),
        )

    # what is shown

    def _run_changed(self, _view: object) -> None:
        if self.isVisible() and not self._timer.isActive():
            self._timer.start()

    def _list_runs(self) -> None:
        if self.attempt(self._read_runs):
            self._show_runs()

    def _read_runs(self) -> None:
        self.summaries = self.ctx.services.runs.list()

    def _show_runs(self) -> None:
        alive = [s for s in self.summaries if s.alive]
        ended = [s for s in self.summaries if not s.alive]
        self.strip.set_value("alive", count_text(len(alive)))
        self.strip.set_value("runs", count_text(len(self.summaries)))
        self._show_journey()
        self._fill(self._now_rows, alive, self.tr("Nothing is running."))
        self._fill(
            self._latest_rows,
            ended[:_LATEST],
            self.tr("Runs that have ended are listed here, with their last loss and alarms."),
        )

    def _show_journey(self) -> None:
        """How far the user came on the way to a model of his own."""
        for step, job in ((self.train_step, "train"), (self.serve_step, "serve")):
            mine = [s for s in self.summaries if s.job == job]
            if any(s.alive for s in mine):
                step.chip.set_state(self.tr("running"), "accent")
            elif any(s.status == "completed" or (job == "serve" and not s.alive) for s in mine):
                step.chip.set_state(self.tr("done"), "ok")
            else:
                step.chip.set_state("")
        serving = any(s.alive for s in self.summaries if s.job == "serve")
        self.chat_step.chip.set_state(self.tr("ready") if serving else "", "ok")

    def _fill(self, rows: QVBoxLayout, summaries: list[RunSummary], empty: str) -> None:
        shown = [w for i in range(rows.count()) if isinstance(w := _widget(rows, i), RunRow)]
        if summaries and [r.run_id for r in shown] == [s.run_id for s in summaries]:
            # The same runs: only their figures change, and nothing flickers or loses the focus.
            for row, summary in zip(shown, summaries, strict=True):
                row.show_summary(summary)
            return
        clear_layout(rows)
        for summary in summaries:
            row = RunRow(summary)
            row.opened.connect(self._open_run)
            rows.addWidget(row)
        if not summaries:
            rows.addWidget(label(empty, "muted", wrap=True))

    def _show_models(self, models: list[object]) -> None:
        ready = sum(1 for m in models if getattr(m, "fetched", False) and not _problem(m))
        self.strip.set_value("models", f"{ready} / {len(models)}")

    def _show_machine(self, info: MachineInfo | None) -> None:
        self._machine = info
        if info is None:
            return
        self.strip.set_value("memory", f"{info.ram_available_gib:.1f} / {info.ram_gib:.1f} GiB")
        self.strip.set_value("disk", f"{info.disk_free_gib:.1f} GiB")
        cards = "\n".join(_gpu_line(g.name, g.memory_total_gib) for g in info.gpus)
        reason = ""
        if info.reason_no_gpu:
            reason = messages.gpu_reason_text(info.reason_no_gpu, self.ctx.language.language)
        cores = self.tr("{count} cores").format(count=info.cores)
        self.facts.set_facts(
            [
                (self.tr("System"), info.os),
                (self.tr("Processor"), f"{info.cpu} • {cores}" if info.cpu else cores),
                (self.tr("Memory"), f"{info.ram_gib:.1f} GiB"),
                (self.tr("Graphics card"), cards or reason),
                (self.tr("Driver"), info.driver_version or ""),
                (self.tr("Python"), info.python),
            ]
        )

    # where it leads

    def _open_run(self, run_id: str, job: str) -> None:
        self.ctx.navigate(JOB_PAGES.get(job, "runs"), run_id=run_id)

    def _go_train(self) -> None:
        self.ctx.navigate("train", model="deepdeck-starter")

    def _go_deploy(self) -> None:
        self.ctx.navigate("deploy")

    def _go_chat(self) -> None:
        self.ctx.navigate("chat")

    def _go_runs(self) -> None:
        self.ctx.navigate("runs")


def _widget(layout: QVBoxLayout, number: int) -> QWidget | None:
    item = layout.itemAt(number)
    return item.widget() if item is not None else None


def short_path(path: Path) -> str:
    """With ~ for the user's own folder."""
    try:
        return f"~/{path.relative_to(Path.home())}"
    except ValueError:
        return str(path)


def _gpu_line(name: str, total_gib: float | None) -> str:
    return name if total_gib is None else f"{name} • {total_gib:.0f} GiB"


def _problem(model: object) -> ErrorInfo | None:
    found = getattr(model, "problem", None)
    return found if isinstance(found, ErrorInfo) else None
