"""Figures of the server: counters and histograms for `/metrics`, rolling windows for the window.

Names mirror vLLM's, so that existing dashboards need a prefix changed
(https://docs.vllm.ai/en/latest/design/metrics.html). Times are taken with the monotonic clock of
this process.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from core.protocol.events import ServeRequest, ServeStats
from workers.serve.engines.base import EngineStats
from workers.serve.http.histograms import Amount, Histogram, Rolling

WINDOW_S = 60.0
SPEED_WINDOW_S = 10.0
"""Of tokens a second: people watch it move."""
WINDOWS = {"1m": 60.0, "5m": 300.0}
_QUANTILES = (0.5, 0.95, 0.99)
_PREFIX = "deepdeck:"
LEFT = 499


class ServerMetrics:
    """Written by the event loop only.

    Args:
        model_id: label of every figure.
        queue_limit: as in the spec.
        clock: a monotonic clock.
    """

    def __init__(
        self, model_id: str, queue_limit: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._model = model_id
        self._queue_limit = queue_limit
        self._clock = clock
        self._started = clock()
        self.requests_total = 0
        self.errors_total = 0
        self.prompt_tokens = 0
        self.generation_tokens = 0
        self.prefix_queries = 0
        self.prefix_hits = 0
        self.by_finish: Counter[str] = Counter()
        self.by_rejection: Counter[str] = Counter()
        self.by_error: Counter[str] = Counter()
        self.by_status: Counter[tuple[str, int]] = Counter()
        self.ttft, self.inter_token, self.latency = Histogram(), Histogram(), Histogram()
        self.queue_time, self.prefill, self.decode = Histogram(), Histogram(), Histogram()
        self.per_token = Histogram()
        self._latencies, self._firsts = Rolling(clock=clock), Rolling(clock=clock)
        self._gaps = Rolling(WINDOW_S, clock)
        self._speed = Amount(SPEED_WINDOW_S, clock)
        self._read_speed = Amount(SPEED_WINDOW_S, clock)
        self._asked, self._known = Amount(WINDOW_S, clock), Amount(WINDOW_S, clock)

    # -- writing ------------------------------------------------------------------------------

    def finished(self, request: ServeRequest) -> None:
        """Count an answered, refused or left request."""
        self.requests_total += 1
        self.by_status[request.route, request.status] += 1
        self.prompt_tokens += request.prompt_tokens
        if request.status >= 400:
            self._failed(request.status, request.error_code)
            return
        self.by_finish[request.finish_reason or "stop"] += 1
        self._took(request)

    def refused(self, status: int, code: str) -> None:
        """Count one that did not get past the door: no route, no key."""
        self.requests_total += 1
        self.by_status["refused", status] += 1
        self._failed(status, code)

    def started(self, queue_s: float, prefill_s: float) -> None:
        """A request's first token came: how long it waited, and how long it was read."""
        self.queue_time.observe(max(0.0, queue_s))
        self.prefill.observe(max(0.0, prefill_s))

    def prompt_read(self, tokens: int, known: int) -> None:
        """An answer began; of its prompt so many tokens were in the prefix cache."""
        self.prefix_queries += tokens
        self.prefix_hits += known
        self._asked.add(tokens)
        self._known.add(known)
        self._read_speed.add(tokens - known)

    def tokens(self, count: int, seconds: float | None) -> None:
        """Count new tokens of one answer, `seconds` after the ones before."""
        self.generation_tokens += count
        self._speed.add(count)
        if seconds is not None and count:
            self.inter_token.observe(seconds / count)
            self._gaps.observe(seconds / count)

    # -- reading ------------------------------------------------------------------------------

    def stats(self, engine: EngineStats) -> ServeStats:
        """The state for the window's tiles."""
        totals, firsts = self._latencies.window(WINDOW_S), self._firsts.window(WINDOW_S)
        asked = self._asked.total()
        return ServeStats(
            requests_total=self.requests_total,
            errors_total=self.errors_total,
            running=engine.running,
            queued=engine.queued,
            queue_limit=self._queue_limit,
            qps=round(totals.count / self._span(WINDOW_S), 3),
            window_s=WINDOW_S,
            ttft_p50_ms=_ms(firsts.quantile(0.5)),
            ttft_p99_ms=_ms(firsts.quantile(0.99)),
            latency_p50_ms=_ms(totals.quantile(0.5)),
            latency_p95_ms=_ms(totals.quantile(0.95)),
            latency_p99_ms=_ms(totals.quantile(0.99)),
            inter_token_p50_ms=_ms(self._gaps.window(WINDOW_S).quantile(0.5)),
            tokens_per_second=round(self._speed.per_second(), 2),
            prompt_tokens_per_second=round(self._read_speed.per_second(), 2),
            cache_tokens=engine.cache_tokens,
            cache_capacity_tokens=engine.cache_capacity_tokens,
            prefix_hit_share=round(self._known.total() / asked, 4) if asked else None,
            memory_gib=round(engine.memory_gib, 2),
            errors_by_reason=dict(self.by_error),
        )

    def text(self, engine: EngineStats, more: Mapping[str, float] | None = None) -> str:
        """The Prometheus text exposition, version 0.0.4.

        Args:
            engine: its state now.
            more: gauges that others know: the card's memory, the predicted wait.
        """
        labels = f'model_name="{_escaped(self._model)}"'
        lines: list[str] = []
        for name, value in {**self._gauges(engine), **(more or {})}.items():
            lines += [f"# TYPE {_PREFIX}{name} gauge", f"{_PREFIX}{name}{{{labels}}} {value:.12g}"]
        for name, rows in self._rolling().items():
            lines.append(f"# TYPE {_PREFIX}{name} gauge")
            lines += [f"{_PREFIX}{name}{{{labels}{extra}}} {value:.12g}" for extra, value in rows]
        for name, counts in self._counters(engine).items():
            lines.append(f"# TYPE {_PREFIX}{name} counter")
            lines += [f"{_PREFIX}{name}{{{labels}{extra}}} {n}" for extra, n in counts.items()]
        for name, histogram in self._histograms().items():
            lines.append(f"# TYPE {_PREFIX}{name} histogram")
            lines += histogram.lines(_PREFIX + name, labels)
        return "\n".join(lines) + "\n"

    def _took(self, request: ServeRequest) -> None:
        seconds = request.total_ms / 1000
        self.latency.observe(seconds)
        self._latencies.observe(seconds)
        if request.ttft_ms is None:
            return
        first = request.ttft_ms / 1000
        self.ttft.observe(first)
        self._firsts.observe(first)
        self.decode.observe(max(0.0, seconds - first))
        if request.choices == 1 and request.completion_tokens > 1:
            self.per_token.observe((seconds - first) / (request.completion_tokens - 1))

    def _failed(self, status: int, code: str) -> None:
        if status == LEFT:
            return
        self.errors_total += 1
        self.by_error[code or f"http_{status}"] += 1
        if status in (429, 503):
            self.by_rejection[code or "busy"] += 1

    def _span(self, window_s: float) -> float:
        return max(1.0, min(window_s, self._clock() - self._started))

    def _gauges(self, engine: EngineStats) -> dict[str, float]:
        share = engine.cache_tokens / max(1, engine.cache_capacity_tokens)
        return {
            "num_requests_running": engine.running,
            "num_requests_waiting": engine.queued,
            "kv_cache_usage_perc": round(share, 6),
            "memory_used_gib": round(engine.memory_gib, 3),
            "tokens_per_second": round(self._speed.per_second(), 2),
        }

    def _rolling(self) -> dict[str, list[tuple[str, float]]]:
        rows: dict[str, list[tuple[str, float]]] = {"requests_per_second": []}
        for label, window_s in WINDOWS.items():
            window = self._latencies.window(window_s)
            rate = window.count / self._span(window_s)
            rows["requests_per_second"].append((f',window="{label}"', round(rate, 4)))
        rows["e2e_request_latency_rolling_seconds"] = list(_quantiles(self._latencies))
        rows["time_to_first_token_rolling_seconds"] = list(_quantiles(self._firsts))
        return rows

    def _counters(self, engine: EngineStats) -> dict[str, dict[str, int]]:
        return {
            "prompt_tokens_total": {"": self.prompt_tokens},
            "generation_tokens_total": {"": self.generation_tokens},
            "prefix_cache_queries_total": {"": self.prefix_queries},
            "prefix_cache_hits_total": {"": self.prefix_hits},
            "num_preemptions_total": {"": engine.preemptions},
            "request_success_total": _labeled("finished_reason", self.by_finish),
            "admission_rejections_total": _labeled("reason", self.by_rejection),
            "request_errors_total": _labeled("code", self.by_error),
            "http_requests_total": {
                f',handler="{_escaped(route)}",status="{status}"': n
                for (route, status), n in self.by_status.items()
            },
        }

    def _histograms(self) -> dict[str, Histogram]:
        return {
            "time_to_first_token_seconds": self.ttft,
            "inter_token_latency_seconds": self.inter_token,
            "request_time_per_output_token_seconds": self.per_token,
            "e2e_request_latency_seconds": self.latency,
            "request_queue_time_seconds": self.queue_time,
            "request_prefill_time_seconds": self.prefill,
            "request_decode_time_seconds": self.decode,
        }


def _quantiles(rolling: Rolling) -> Iterator[tuple[str, float]]:
    for label, window_s in WINDOWS.items():
        window = rolling.window(window_s)
        for share in _QUANTILES:
            if (value := window.quantile(share)) is not None:
                yield f',window="{label}",quantile="{share}"', value


def _labeled(label: str, counts: Counter[str]) -> dict[str, int]:
    return {f',{label}="{_escaped(value)}"': n for value, n in counts.items()}


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 2)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
