"""Figures of the server: counters and histograms for `/metrics`, a rolling window for the window.

Names mirror vLLM's, so that existing dashboards need a prefix changed. Times are taken with the
monotonic clock of this process.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass

from core.protocol.events import ServeRequest, ServeStats
from workers.serve.engines.base import EngineStats

WINDOW_S = 10.0
_PREFIX = "deepdeck:"
_SECONDS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0,
            7.5, 10.0, 20.0, 40.0, 80.0, 160.0, 640.0)  # fmt: skip


class Histogram:
    """Prometheus histogram: counts up to each bound, sum and count."""

    def __init__(self, bounds: tuple[float, ...] = _SECONDS) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def lines(self, name: str, labels: str) -> Iterable[str]:
        """Text exposition."""
        total = 0
        for bound, count in zip((*self._bounds, float("inf")), self._counts, strict=True):
            total += count
            limit = "+Inf" if bound == float("inf") else f"{bound:g}"
            yield f'{name}_bucket{{{labels},le="{limit}"}} {total}'
        yield f"{name}_sum{{{labels}}} {self._sum:.6f}"
        yield f"{name}_count{{{labels}}} {total}"


@dataclass(frozen=True, slots=True)
class _Finished:
    at: float
    total_ms: float
    ttft_ms: float | None


class ServerMetrics:
    """Written by the event loop only."""

    def __init__(self, model_id: str, queue_limit: int) -> None:
        self._model = model_id
        self._queue_limit = queue_limit
        self._started = time.monotonic()
        self.requests_total = 0
        self.errors_total = 0
        self.prompt_tokens = 0
        self.generation_tokens = 0
        self.by_finish: Counter[str] = Counter()
        self.by_rejection: Counter[str] = Counter()
        self.by_status: Counter[tuple[str, int]] = Counter()
        self.ttft = Histogram()
        self.inter_token = Histogram()
        self.latency = Histogram()
        self.queue_time = Histogram()
        self._recent: deque[_Finished] = deque()
        self._recent_tokens: deque[tuple[float, int]] = deque()

    def finished(self, request: ServeRequest) -> None:
        """Count an answered, refused or left request."""
        self.requests_total += 1
        self.by_status[request.route, request.status] += 1
        self.prompt_tokens += request.prompt_tokens
        if request.status >= 400:
            self.errors_total += request.status not in (499,)
            if request.status == 503:
                self.by_rejection["busy"] += 1
            return
        self.by_finish[request.finish_reason or "stop"] += 1
        self.latency.observe(request.total_ms / 1000)
        if request.ttft_ms is not None:
            self.ttft.observe(request.ttft_ms / 1000)
        self._recent.append(_Finished(time.monotonic(), request.total_ms, request.ttft_ms))

    def tokens(self, count: int, seconds: float | None) -> None:
        """Count new tokens of one answer, `seconds` after the ones before."""
        self.generation_tokens += count
        self._recent_tokens.append((time.monotonic(), count))
        if seconds is not None and count:
            self.inter_token.observe(seconds / count)

    def stats(self, engine: EngineStats) -> ServeStats:
        """The state for the window's tiles."""
        now = time.monotonic()
        self._forget(now - WINDOW_S)
        span = max(1.0, min(WINDOW_S, now - self._started))
        totals = sorted(f.total_ms for f in self._recent)
        firsts = sorted(f.ttft_ms for f in self._recent if f.ttft_ms is not None)
        return ServeStats(
            requests_total=self.requests_total,
            errors_total=self.errors_total,
            running=engine.running,
            queued=engine.queued,
            queue_limit=self._queue_limit,
            qps=round(len(self._recent) / span, 3),
            window_s=WINDOW_S,
            ttft_p50_ms=percentile(firsts, 0.5),
            latency_p50_ms=percentile(totals, 0.5),
            latency_p99_ms=percentile(totals, 0.99),
            tokens_per_second=round(sum(n for _, n in self._recent_tokens) / span, 2),
            memory_gib=round(engine.memory_gib, 2),
        )

    def text(self, engine: EngineStats) -> str:
        """The Prometheus text exposition, version 0.0.4."""
        labels = f'model_name="{_escaped(self._model)}"'
        lines: list[str] = []
        for name, value in self._gauges(engine).items():
            lines += [f"# TYPE {_PREFIX}{name} gauge", f"{_PREFIX}{name}{{{labels}}} {value}"]
        for name, counts in self._counters().items():
            lines.append(f"# TYPE {_PREFIX}{name} counter")
            lines += [f"{_PREFIX}{name}{{{labels}{more}}} {n}" for more, n in counts.items()]
        for name, histogram in self._histograms().items():
            lines.append(f"# TYPE {_PREFIX}{name} histogram")
            lines += histogram.lines(_PREFIX + name, labels)
        return "\n".join(lines) + "\n"

    def _gauges(self, engine: EngineStats) -> dict[str, float]:
        share = engine.cache_tokens / max(1, engine.cache_capacity_tokens)
        return {
            "num_requests_running": engine.running,
            "num_requests_waiting": engine.queued,
            "kv_cache_usage_perc": round(share, 6),
            "memory_used_gib": round(engine.memory_gib, 3),
        }

    def _counters(self) -> dict[str, dict[str, int]]:
        return {
            "prompt_tokens_total": {"": self.prompt_tokens},
            "generation_tokens_total": {"": self.generation_tokens},
            "request_success_total": {
                f',finished_reason="{k}"': n for k, n in self.by_finish.items()
            },
            "admission_rejections_total": {
                f',reason="{k}"': n for k, n in self.by_rejection.items()
            },
            "http_requests_total": {
                f',handler="{_escaped(route)}",status="{status}"': n
                for (route, status), n in self.by_status.items()
            },
        }

    def _histograms(self) -> dict[str, Histogram]:
        return {
            "time_to_first_token_seconds": self.ttft,
            "inter_token_latency_seconds": self.inter_token,
            "e2e_request_latency_seconds": self.latency,
            "request_queue_time_seconds": self.queue_time,
        }

    def _forget(self, before: float) -> None:
        while self._recent and self._recent[0].at < before:
            self._recent.popleft()
        while self._recent_tokens and self._recent_tokens[0][0] < before:
            self._recent_tokens.popleft()


def percentile(ordered: list[float], share: float) -> float | None:
    """Nearest-rank percentile of sorted values; None of none."""
    if not ordered:
        return None
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
