"""The figures of a server: three targets as lights, five more, and what they were measured on."""

from __future__ import annotations

from PySide6.QtCore import QEvent
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QGridLayout, QVBoxLayout, QWidget

from app.text import percent_text
from app.viewmodels.serve_targets import (
    LEAST_REQUESTS,
    TARGET_MEMORY,
    TARGET_P99_MS,
    TARGET_QPS,
    Light,
    Lights,
    Workload,
    lights_of,
    workload_of,
)
from app.widgets.card import GAP
from app.widgets.deploy_tile import Tile
from app.widgets.labels import ElidedLabel
from core.protocol.events import ServeReady, ServeStats
from core.runlog.state import RunState

_NARROW_PX = 620
_REASONS_SHOWN = 2


class ServerFigures(QWidget):
    """`show_state(view.state, memory_share)`; four tiles a row, two where it is narrow."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        names = ("qps", "p99", "memory", "errors", "ttft", "speed", "queue", "cache")
        self.tiles = {name: Tile() for name in names}
        self.workload = ElidedLabel("", "muted")
        self._state: RunState | None = None
        self._share: float | None = None
        self._grid = QGridLayout()
        self._grid.setSpacing(GAP)
        self._a_row = 0
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addLayout(self._grid)
        column.addWidget(self.workload)
        self._arrange(4)
        self.retranslate()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """More rows where one would cut the figures."""
        super().resizeEvent(event)
        self._arrange(2 if self.width() < _NARROW_PX else 4)

    def _arrange(self, a_row: int) -> None:
        if a_row == self._a_row:
            return
        self._a_row = a_row
        for number, tile in enumerate(self.tiles.values()):
            self._grid.addWidget(tile, number // a_row, number % a_row)
            self._grid.setColumnStretch(number, 1 if number < a_row else 0)

    def show_state(self, state: RunState, memory_share: float | None) -> None:
        """The newest figures; `memory_share` is the card's as the window sees it."""
        self._state, self._share = state, memory_share
        stats = state.stats
        if stats is not None and stats.memory_share is not None:
            memory_share = stats.memory_share
        workload = workload_of(state.requests, stats)
        self._show_lights(lights_of(stats, state.requests, state.self_test, memory_share), stats)
        self._show_rest(stats or ServeStats(), state.ready)
        self.workload.set_full_text(self._workload_line(workload, stats))

    # lights

    def _show_lights(self, lights: Lights, stats: ServeStats | None) -> None:
        qps, p99, memory = lights.qps, lights.p99, lights.memory
        tested = qps.reason == "self_test"
        caption = self.tr("Requests per second, held") if tested else self.tr("Requests per second")
        self.tiles["qps"].stat.set_caption(caption)
        rate = qps.value if tested else (stats.qps if stats else None)
        self.tiles["qps"].show_figure(
            "" if rate is None else f"{rate:.1f}",
            self._note(qps, self.tr("target ≥ {n}").format(n=f"{TARGET_QPS:g}")),
            light=qps.state,
            explanation=self._explain(qps),
        )
        self.tiles["p99"].show_figure(
            "" if p99.value is None else f"{p99.value:,.0f} ms",
            self._note(p99, self.tr("target < {n} ms").format(n=f"{TARGET_P99_MS:g}")),
            light=p99.state,
            explanation=self._explain(p99),
        )
        caption = self.tr("P99, whole answer")
        if p99.workload is not None:
            caption = self.tr("P99, {prompt} in / {answer} out").format(
                prompt=f"{p99.workload.prompt_tokens:,}", answer=f"{p99.workload.answer_tokens:,}"
            )
        self.tiles["p99"].stat.set_caption(caption)
        self._show_memory(memory, stats)

    def _show_memory(self, light: Light, stats: ServeStats | None) -> None:
        own = f"{stats.memory_gib:.1f} GiB" if stats else ""
        if light.value is None:
            self.tiles["memory"].stat.set_caption(self.tr("Memory of the engine"))
            self.tiles["memory"].show_figure(
                own,
                self.tr("no card in use"),
                light="unknown",
                explanation=self._explain(light),
            )
            return
        self.tiles["memory"].stat.set_caption(self.tr("GPU memory"))
        target = self.tr("target < {n}").format(n=percent_text(TARGET_MEMORY))
        note = self.tr("{target}, engine {own}").format(target=target, own=own) if own else target
        self.tiles["memory"].show_figure(
            percent_text(light.value), note, light=light.state, explanation=self._explain(light)
        )

    def _note(self, light: Light, target: str) -> str:
        """A grey light says in two words why."""
        words = {
            "measured": target,
            "self_test": self.tr("{target}, by self-test").format(target=target),
            "too_few": self.tr("{target}, too few requests").format(target=target),
            "not_loaded": self.tr("{target}, not loaded").format(target=target),
            "nothing": self.tr("{target}, not measured").format(target=target),
            "no_card": target,
        }
        return words[light.reason]

    def _explain(self, light: Light) -> str:
        """What the light stands for, in a sentence."""
        words = {
            "measured": self.tr("Measured on what clients asked in the last minute."),
            "self_test": self.tr(
                "By the self-test: clients have not asked for so much since the start."
            ),
            "too_few": self.tr(
                "With fewer than {n} requests the slowest one percent is a single one. Wait for "
                "more, or run the self-test."
            ).format(n=LEAST_REQUESTS),
            "not_loaded": self.tr(
                "Clients ask for less than the target, so this says nothing about what the "
                "machine can hold. The self-test does."
            ),
            "nothing": self.tr("Nothing was measured yet. Ask something, or run the self-test."),
            "no_card": self.tr(
                "The model does not run on a card here, so there is no GPU memory to compare."
            ),
        }
        named = self._workload_words(light.workload) if light.workload else ""
        return "\n".join(p for p in (words[light.reason], named) if p)

    # the others

    def _show_rest(self, stats: ServeStats, ready: ServeReady | None) -> None:
        tiles = self.tiles
        ttft, p99 = stats.ttft_p50_ms, stats.ttft_p99_ms
        tiles["ttft"].show_figure("" if ttft is None else f"{ttft:,.0f} ms", self._tail(p99))
        percentiles = self._percentiles(stats)
        tiles["speed"].show_figure(
            f"{stats.tokens_per_second:,.0f} tok/s",
            self.tr("prompts {n} tok/s").format(n=f"{stats.prompt_tokens_per_second:,.0f}"),
        )
        tiles["queue"].show_figure(
            f"{stats.running} + {stats.queued}",
            self.tr("answering + waiting, limit {n}").format(n=stats.queue_limit),
        )
        self._show_cache(stats, ready)
        self._show_errors(stats)
        tiles["p99"].setToolTip(
            "\n".join(p for p in (percentiles, tiles["p99"].accessibleDescription()) if p)
        )

    def _tail(self, p99: float | None) -> str:
        return self.tr("P99 {n} ms").format(n=f"{p99:,.0f}") if p99 is not None else ""

    def _percentiles(self, stats: ServeStats) -> str:
        found = (
            ("P50", stats.latency_p50_ms),
            ("P95", stats.latency_p95_ms),
            ("P99", stats.latency_p99_ms),
        )
        return "   ".join(f"{name} {value:,.0f} ms" for name, value in found if value is not None)

    def _show_cache(self, stats: ServeStats, ready: ServeReady | None) -> None:
        capacity = stats.cache_capacity_tokens or (ready.cache_tokens if ready else 0)
        if not capacity:
            self.tiles["cache"].show_figure("", self.tr("not told by this engine"))
            return
        hits = stats.prefix_hit_share
        note = self.tr("of {n} tokens").format(n=f"{capacity:,}")
        if hits is not None:
            note = self.tr("{room}, {share} of prompts known").format(
                room=note, share=percent_text(hits)
            )
        self.tiles["cache"].show_figure(
            percent_text(stats.cache_tokens / capacity),
            note,
            explanation=self.tr(
                "What conversations keep in memory. Known: beginnings of prompts that were not "
                "computed again."
            ),
        )

    def _show_errors(self, stats: ServeStats) -> None:
        by_reason = sorted(stats.errors_by_reason.items(), key=lambda x: -x[1])
        note = ", ".join(f"{code} {n:,}" for code, n in by_reason[:_REASONS_SHOWN])
        share = stats.errors_total / stats.requests_total if stats.requests_total else 0.0
        self.tiles["errors"].show_figure(
            f"{stats.errors_total:,}",
            note or self.tr("of {n} requests").format(n=f"{stats.requests_total:,}"),
            explanation="\n".join(
                [
                    self.tr("{share} of {n} requests since the start").format(
                        share=percent_text(share, 1), n=f"{stats.requests_total:,}"
                    ),
                    *(f"{code}: {n:,}" for code, n in by_reason),
                ]
            ),
        )

    # the workload

    def _workload_line(self, workload: Workload | None, stats: ServeStats | None) -> str:
        if workload is None:
            return self.tr("No request in the last minute: the figures above wait for some.")
        percentiles = self._percentiles(stats) if stats else ""
        said = self.tr("Workload of the last minute: {words}").format(
            words=self._workload_words(workload)
        )
        return "   •   ".join(p for p in (said, percentiles) if p)

    def _workload_words(self, workload: Workload) -> str:
        return self.tr(
            "{prompt} tokens in, {answer} out (medians of {n} requests), {rate} requests a second"
        ).format(
            prompt=f"{workload.prompt_tokens:,}",
            answer=f"{workload.answer_tokens:,}",
            n=f"{workload.requests:,}",
            rate=f"{workload.rate_qps:.1f}",
        )

    def changeEvent(self, event: QEvent) -> None:
        """Speak the new language."""
        if event.type() == QEvent.Type.LanguageChange:
            self.retranslate()
        super().changeEvent(event)

    def retranslate(self) -> None:
        """All texts."""
        captions = {
            "qps": self.tr("Requests per second"),
            "p99": self.tr("P99, whole answer"),
            "memory": self.tr("GPU memory"),
            "errors": self.tr("Errors"),
            "ttft": self.tr("First token, P50"),
            "speed": self.tr("Speed of all answers"),
            "queue": self.tr("Requests now"),
            "cache": self.tr("Conversation memory (KV cache)"),
        }
        for name, caption in captions.items():
            self.tiles[name].stat.set_caption(caption)
        if self._state is not None:
            self.show_state(self._state, self._share)
