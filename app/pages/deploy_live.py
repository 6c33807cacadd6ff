"""A running API: how it does, who asks, how to reach it, its adapters, what it can hold."""

from __future__ import annotations

from PySide6.QtCore import QEvent
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.pages.deploy_adapters import AdaptersCard
from app.pages.deploy_banner import ServerBanner
from app.pages.deploy_connect import ConnectView
from app.pages.deploy_exposure import ExposureCard
from app.pages.deploy_figures import ServerFigures
from app.pages.deploy_requests import RequestsCard
from app.pages.deploy_self_test import SelfTestCard
from app.viewmodels.serve import ServeModel, not_loaded
from app.viewmodels.serve_targets import TARGET_P99_MS, TARGET_QPS
from app.widgets.card import GAP
from app.widgets.deploy_axis import RecentAxis
from app.widgets.deploy_tabs import TabRow
from app.widgets.metric_plot import MetricPlot
from app.widgets.plot_lines import PlotLine
from app.widgets.plot_marks import Limit
from app.widgets.plot_scheduler import PlotScheduler
from core.runlog.index import RunSummary

TABS = ("live", "connect", "adapters", "self_test")
_ICONS = ["chart-line", "connection", "layers-outline", "speedometer"]
_PLOT_PX = 170


class DeployLive(QWidget):
    """Everything below the header while a server lives, and its last figures afterwards."""

    def __init__(self, model: ServeModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = model
        self._key = ""
        self.memory_share: float | None = None
        """Of the card that the server runs on, all its users together."""
        self.adapter_runs: list[RunSummary] = []
        """Trainings of the served model with an adapter, loaded or not."""
        self.banner = ServerBanner(model)
        self.exposure = ExposureCard()
        self.tabs = TabRow(list(TABS), _ICONS)
        self.figures = ServerFigures()
        self.requests = RequestsCard()
        self.connect_view = ConnectView()
        self.adapters = AdaptersCard()
        self.self_test = SelfTestCard()
        self._make_plots()
        self._lay_out()
        self.tabs.chosen.connect(self._bring)
        self.tabs.choose("live")
        model.replaced.connect(self._set_lines)
        model.changed.connect(self.refresh)
        model.answered.connect(self._answered)
        self.retranslate()
        self._set_lines()

    def _make_plots(self) -> None:
        self.axis = RecentAxis(self)
        self._scheduler = PlotScheduler(self)
        self.plots = {
            name: MetricPlot(self.axis, self._scheduler, name)
            for name in ("qps", "latency", "speed")
        }
        for plot in self.plots.values():
            plot.setMinimumHeight(_PLOT_PX)
            plot.follow_requested.connect(self._follow)

    def _lay_out(self) -> None:
        plots = QHBoxLayout()
        plots.setSpacing(GAP)
        for plot in self.plots.values():
            plots.addWidget(plot, 1)
        live = QWidget()
        box = QVBoxLayout(live)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(GAP)
        box.addWidget(self.figures)
        box.addLayout(plots, 3)
        box.addWidget(self.requests, 4)
        self.views: dict[str, QWidget] = {
            "live": live,
            "connect": self.connect_view,
            "adapters": self.adapters,
            "self_test": self.self_test,
        }
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GAP)
        column.addWidget(self.banner)
        column.addWidget(self.exposure)
        column.addWidget(self.tabs)
        for name, view in self.views.items():
            # Lists are as tall as they are; figures and tables take the room that there is.
            column.addWidget(view, 0 if name == "adapters" else 1000)
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
        self.banner.refresh()
        was_ready = view.state.ready is not None
        self.tabs.setVisible(was_ready)
        self._offer_tabs(lives=self._model.busy)
        self._bring(self.tabs.key if was_ready else "")
        spec = view.document.get("spec") or {}
        self.exposure.show_server(spec, view.state.ready, lives=self._model.busy)
        self.axis.live = state == "ready"
        if not was_ready:
            return
        self.figures.show_state(view.state, self.memory_share)
        self.requests.show_state(view.state)
        limit = int(spec.get("max_new_tokens") or 0)
        self.connect_view.show_state(view.state, self._key, limit)
        waits = self._model.waits_for
        runs = not_loaded(self.adapter_runs, spec, view.state)
        self.adapters.show_state(view.state, runs, busy=waits("adapter"))
        ready = state == "ready"
        self.self_test.show_state(view.state, ready=ready, busy=waits("self_test"))
        for plot in self.plots.values():
            plot.data_changed()

    def _offer_tabs(self, *, lives: bool) -> None:
        """A server that has ended can be looked at, not asked."""
        for name in ("connect", "adapters"):
            self.tabs.buttons[name].setVisible(lives)
        if not lives and self.tabs.key in ("connect", "adapters"):
            self.tabs.choose("live")

    def _bring(self, name: str) -> None:
        was_ready = self._model.view is not None and self._model.view.state.ready is not None
        for key, view in self.views.items():
            view.setVisible(was_ready and key == name)

    def _answered(self, kind: str, accepted: bool, detail: str) -> None:
        if kind == "self_test" and not accepted:
            self.self_test.say_refused(detail)

    def _set_lines(self) -> None:
        series = self._model.series
        clock = series.clock
        self.axis.set_runs([clock])
        self.plots["qps"].set_lines([PlotLine(series.qps, clock, "series:0", "", bold=True)])
        self.plots["latency"].set_lines(
            [
                PlotLine(series.p99, clock, "series:1", "P99", bold=True),
                PlotLine(series.p50, clock, "series:2", "P50", bold=True, dash=(6, 3)),
                PlotLine(series.ttft, clock, "series:3", self.tr("first token"), dash=(2, 2)),
            ]
        )
        self.plots["speed"].set_lines([PlotLine(series.speed, clock, "series:5", "", bold=True)])
        self._set_limits()
        self.requests.show_state(None)

    def _set_limits(self) -> None:
        text = self.tr("target {n}")
        self.plots["latency"].set_limits(
            [Limit(TARGET_P99_MS, text.format(n=f"{TARGET_P99_MS:g}"))]
        )
        self.plots["qps"].set_limits([Limit(TARGET_QPS, text.format(n=f"{TARGET_QPS:g}"))])

    def _follow(self) -> None:
        self.axis.set_follow(not self.axis.follow)

    # words

    def changeEvent(self, event: QEvent) -> None:
        """Speak the new language."""
        if event.type() == QEvent.Type.LanguageChange:
            self.retranslate()
            self._set_lines()
            self.refresh()
        super().changeEvent(event)

    def retranslate(self) -> None:
        """All texts of its own."""
        names = {
            "live": self.tr("Live"),
            "connect": self.tr("Connect"),
            "adapters": self.tr("Adapters"),
            "self_test": self.tr("Self-test"),
        }
        for key, name in names.items():
            self.tabs.buttons[key].set_text(name)
        self.plots["qps"].set_title(self.tr("Requests per second"))
        self.plots["latency"].set_title(self.tr("Latency"))
        self.plots["speed"].set_title(self.tr("Tokens per second"))
        self._set_limits()
