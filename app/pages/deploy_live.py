"""A running API: how to reach it, how it does, who asked."""

from __future__ import annotations

from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import (
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from app.models.request_table import RequestTableModel
from app.text import percent_text
from app.viewmodels.serve import ServeModel, curl_line
from app.widgets.card import GAP, Card
from app.widgets.copy_field import CopyField
from app.widgets.form_row import FormRow
from app.widgets.labels import label, set_role
from app.widgets.metric_plot import MetricPlot
from app.widgets.plot_lines import PlotLine
from app.widgets.plot_marks import Limit
from app.widgets.plot_scheduler import PlotScheduler
from app.widgets.plot_x_axis import XAxis
from app.widgets.progress import Progress
from app.widgets.stat_strip import Stat

_NARROW_PX = 900
TARGET_QPS = 50.0
TARGET_P99_MS = 500.0
TARGET_MEMORY = 0.85
"""The guide's targets for a served 7B model on a data-center card."""


class Tile(Card):
    """One figure, large, and the target under it: met or not yet, in words and color."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self.stat = Stat()
        self.stat.make_large()
        self._note = label("", "muted")
        self.body.setSpacing(2)
        self.body.addWidget(self.stat)
        self.body.addWidget(self._note)

    def show_figure(self, value: str, note: str = "", *, met: bool | None = None) -> None:
        """A value and what stands under it; `met` marks a target that is reached."""
        self.stat.set_value(value)
        self._note.setText(f"✓ {note}" if met else note)
        set_role(self._note, "ok" if met else "muted")


class CurlField(CopyField):
    """Shows the command line with dots for the key, copies it with the key."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self._whole = ""

    def set_line(self, line: str, key: str) -> None:
        """The whole line, and the part of it that eyes behind the user must not read."""
        if line != self._whole:
            self._whole = line
            self.set_text(line.replace(key, "•" * 8) if key else line)

    @property
    def text(self) -> str:
        """What is copied."""
        return self._whole


class DeployLive(QWidget):
    """Everything below the header while a server lives, and its last figures afterwards."""

    def __init__(self, model: ServeModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = model
        self._key = ""
        self.memory_share: float | None = None
        """Of the card that the server runs on, all its users together."""
        self._make_access()
        self._make_figures()
        self._make_plots()
        self._make_table()
        self._lay_out()
        model.replaced.connect(self._set_lines)
        model.changed.connect(self.refresh)
        self.retranslate()
        self._set_lines()

    def _make_access(self) -> None:
        self.access = Card()
        self.address = CopyField()
        self.key = CopyField(secret=True)
        self.curl = CurlField()
        self.access_rows = {
            "address": FormRow(self.address),
            "key": FormRow(self.key),
            "curl": FormRow(self.curl),
        }
        line = QHBoxLayout()
        line.setSpacing(16)
        line.addWidget(self.access_rows["address"], 1)
        line.addWidget(self.access_rows["key"], 1)
        self.access.body.addLayout(line)
        self.access.body.addWidget(self.access_rows["curl"])
        self.loading = Card()
        self.loading_text = label("", "strong")
        self.loading_bar = Progress()
        self.loading.body.addWidget(self.loading_text)
        self.loading.body.addWidget(self.loading_bar)

    def _make_figures(self) -> None:
        self.tiles = {name: Tile() for name in ("qps", "p99", "ttft", "speed", "queue", "memory")}
        self.figures = QGridLayout()
        self.figures.setSpacing(GAP)
        self._tiles_a_row = 0
        self._arrange_tiles(len(self.tiles))

    def _arrange_tiles(self, a_row: int) -> None:
        """So many tiles beside each other, all of one width."""
        if a_row == self._tiles_a_row:
            return
        self._tiles_a_row = a_row
        for number, tile in enumerate(self.tiles.values()):
            self.figures.addWidget(tile, number // a_row, number % a_row)
            self.figures.setColumnStretch(number, 1 if number < a_row else 0)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Two rows of figures where one would cut them."""
        super().resizeEvent(event)
        self._arrange_tiles(3 if self.width() < _NARROW_PX else len(self.tiles))

    def _make_plots(self) -> None:
        self.axis = XAxis(self)
        self.axis.set_mode("time")
        self._scheduler = PlotScheduler(self)
        self.plots = {
            name: MetricPlot(self.axis, self._scheduler, name) for name in ("qps", "latency")
        }
        for plot in self.plots.values():
            plot.setMinimumHeight(190)
            plot.follow_requested.connect(self._follow)

    def _make_table(self) -> None:
        self.requests = RequestTableModel()
        self.table = QTableView()
        self.table.setModel(self.requests)
        self.table.setShowGrid(False)
        self.table.setMinimumHeight(170)
        self.table.setSelectionBehavior(QTableView.SelectionBehavior.SelectRows)
        self.table.setEditTriggers(QTableView.EditTrigger.NoEditTriggers)
        self.table.setTabKeyNavigation(False)
        self.table.setWordWrap(False)
        self.table.verticalHeader().setVisible(False)
        self.table.verticalHeader().setDefaultSectionSize(28)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        header.setHighlightSections(False)
        self.table_card = Card()
        self.no_requests = label("", "muted")
        self.no_requests.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.table_card.body.addWidget(self.no_requests)
        self.table_card.body.addWidget(self.table)

    def _lay_out(self) -> None:
        plots = QHBoxLayout()
        plots.setSpacing(GAP)
        for plot in self.plots.values():
            plots.addWidget(plot, 1)
        self._figures_box = QWidget()
        box = QVBoxLayout(self._figures_box)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(GAP)
        box.addLayout(self.figures)
        box.addLayout(plots, 2)
        box.addWidget(self.table_card, 2)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GAP)
        column.addWidget(self.loading)
        column.addWidget(self.access)
        column.addWidget(self._figures_box, 1000)
        column.addStretch(1)  # while it loads there is nothing else to fill the page

    # what is shown

    def set_key(self, key: str) -> None:
        """The key of this home's servers."""
        self._key = key
        self.refresh()

    def refresh(self) -> None:
        """Show the newest state."""
        view, state = self._model.view, self._model.state
        if view is None:
            return
        waiting = state in ("starting", "loading")
        ready = view.state.ready
        self.loading.setVisible(waiting)
        self.access.setVisible(ready is not None and state in ("ready", "stopping"))
        self._figures_box.setVisible(ready is not None)
        if waiting:
            self._show_loading()
        if ready is not None:
            self.address.set_text(f"{ready.url}/v1")
            self.key.set_text(self._key)
            line = curl_line(ready.url, self._key, ready.model_id)
            self.curl.set_line(line, self._key)
            self._show_figures()
            self._show_requests()
            for plot in self.plots.values():
                plot.data_changed()
        self.axis.live = state == "ready"

    def _show_loading(self) -> None:
        assert self._model.view is not None
        found = self._model.view.state
        texts = {
            "loading_model": self.tr("Loading {name}"),
            "warming_up": self.tr("Warming up"),
        }
        text = texts.get(found.phase, self.tr("Starting the process"))
        fraction = found.phase_fraction
        shown = text.format(name=found.phase_detail)
        percent = "" if fraction is None else f"  {percent_text(fraction)}"
        self.loading_text.setText(shown + percent)
        self.loading_bar.set_fraction(fraction)

    def _show_figures(self) -> None:
        assert self._model.view is not None
        stats = self._model.view.state.stats
        if stats is None:
            return
        p99, ttft = stats.latency_p99_ms, stats.ttft_p50_ms
        self.tiles["qps"].show_figure(
            f"{stats.qps:.1f}",
            self.tr("target ≥ {n}").format(n=f"{TARGET_QPS:g}"),
            met=stats.qps >= TARGET_QPS,
        )
        self.tiles["p99"].show_figure(
            "" if p99 is None else f"{p99:,.0f} ms",
            self.tr("target < {n} ms").format(n=f"{TARGET_P99_MS:g}"),
            met=p99 is not None and p99 < TARGET_P99_MS,
        )
        self.tiles["ttft"].show_figure("" if ttft is None else f"{ttft:,.0f} ms")
        self.tiles["speed"].show_figure(f"{stats.tokens_per_second:,.0f}", self.tr("tokens/s"))
        self.tiles["queue"].show_figure(
            f"{stats.running} + {stats.queued}",
            self.tr("answering + waiting, limit {n}").format(n=stats.queue_limit),
        )
        self._show_memory(stats.memory_gib)

    def _show_memory(self, own_gib: float) -> None:
        share = self.memory_share
        if share is None:
            self.tiles["memory"].show_figure(f"{own_gib:.1f} GiB", self.tr("of this process"))
            return
        self.tiles["memory"].show_figure(
            percent_text(share),
            self.tr("target < {n}").format(n=percent_text(TARGET_MEMORY)),
            met=share < TARGET_MEMORY,
        )

    def _show_requests(self) -> None:
        assert self._model.view is not None
        requests = self._model.view.state.requests
        self.requests.show_requests(requests)
        self.no_requests.setVisible(not requests)
        self.table.setVisible(bool(requests))

    def _set_lines(self) -> None:
        series = self._model.series
        clock = series.clock
        self.axis.set_runs([clock])
        self.plots["qps"].set_lines([PlotLine(series.qps, clock, "series:0", "", bold=True)])
        self.plots["latency"].set_lines(
            [
                PlotLine(series.p99, clock, "series:1", "P99", bold=True),
                PlotLine(series.p50, clock, "series:2", "P50", bold=True, dash=(6, 3)),
            ]
        )
        self._set_limits()
        self.requests.show_requests(())

    def _set_limits(self) -> None:
        text = self.tr("target {n}").format(n=f"{TARGET_P99_MS:g}")
        self.plots["latency"].set_limits([Limit(TARGET_P99_MS, text)])

    def _follow(self) -> None:
        self.axis.set_follow(not self.axis.follow)

    # words

    def changeEvent(self, event: QEvent) -> None:
        """Speak the new language."""
        if event.type() == QEvent.Type.LanguageChange:
            self.retranslate()
            self.refresh()
        super().changeEvent(event)

    def retranslate(self) -> None:
        """All texts."""
        self.access.set_title(self.tr("How programs reach it"))
        rows = self.access_rows
        rows["address"].set_texts(self.tr("Address"), self.tr("The base URL for OpenAI clients."))
        rows["key"].set_texts(self.tr("API key"), self.tr("Sent with every request."))
        rows["curl"].set_texts(
            self.tr("Try it in a terminal"), self.tr("What is copied contains the key.")
        )
        self.address.set_name(self.tr("Address"))
        self.key.set_name(self.tr("API key"))
        self.curl.set_name(self.tr("Command line"))
        captions = {
            "qps": self.tr("Requests per second"),
            "p99": self.tr("P99, whole answer"),
            "ttft": self.tr("First token P50"),
            "speed": self.tr("Speed"),
            "queue": self.tr("Load"),
            "memory": self.tr("Memory"),
        }
        for name, caption in captions.items():
            self.tiles[name].stat.set_caption(caption)
        self.plots["qps"].set_title(self.tr("Requests per second"))
        self.plots["latency"].set_title(self.tr("Latency P50, P99"))
        self.table_card.set_title(self.tr("Requests"))
        self.table.setAccessibleName(self.tr("Requests"))
        self.no_requests.setText(self.tr("Nobody has asked yet. Chat with it, or use the line."))
        self._name_columns()
        self._set_limits()

    def _name_columns(self) -> None:
        titles = {
            "time": self.tr("Time"),
            "route": self.tr("Route"),
            "tokens": self.tr("Tokens in / out"),
            "ttft": self.tr("First token"),
            "total": self.tr("Total"),
            "state": self.tr("State"),
        }
        words = {
            "done": self.tr("done"),
            "cut": self.tr("length reached"),
            "left": self.tr("client left"),
            "refused": self.tr("refused"),
        }
        self.requests.set_texts(titles, words)
