"""The figures: what Prometheus reads and what the window shows are the same counts."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config.serve import ServeSpec
from core.hardware.gpu import GpuSample, NoGpu
from core.protocol.events import ServeRequest
from workers.serve.engines.base import EngineStats
from workers.serve.http.card import CardUse, CardWatch, card_of
from workers.serve.http.histograms import Amount, Histogram, Rolling
from workers.serve.http.metrics import ServerMetrics
from workers.serve.http.state import ServerState


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def done(
    ms: float, *, ttft_ms: float | None = None, status: int = 200, **more: object
) -> ServeRequest:
    return ServeRequest(
        route="/v1/completions", status=status, total_ms=ms, ttft_ms=ttft_ms, **more
    )


SAMPLE = re.compile(
    r'^deepdeck:[a-z0-9_]+(\{([a-z_]+="[^"]*"(,|(?=\})))+\})? [-+0-9.e]+(inf|nan)?$'
)


def samples(text: str) -> dict[str, float]:
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            assert SAMPLE.match(line), line
            name, value = line.rsplit(" ", 1)
            assert name not in found
            found[name] = float(value)
    return found


def test_the_text_is_prometheus_with_one_type_a_name() -> None:
    metrics = ServerMetrics('a "strange\\ name', 10)
    metrics.finished(done(100, ttft_ms=20, prompt_tokens=3))
    metrics.refused(401, "missing_api_key")
    text = metrics.text(EngineStats(running=2), {"gpu_memory_used_bytes": 85899345920})
    types = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(types) == len(set(types))
    for line in text.splitlines():
        assert "strange" in line or line.startswith("#")
    assert text.endswith("\n")
    assert '_bytes{model_name="a \\"strange\\\\ name"} 85899345920' in text


def test_names_are_those_of_vllm_where_they_mean_the_same() -> None:
    text = ServerMetrics("m", 10).text(EngineStats())
    for name in (
        "num_requests_running", "num_requests_waiting", "kv_cache_usage_perc",
        "prompt_tokens_total", "generation_tokens_total", "prefix_cache_queries_total",
        "prefix_cache_hits_total", "num_preemptions_total", "request_success_total",
        "time_to_first_token_seconds", "inter_token_latency_seconds",
        "request_time_per_output_token_seconds", "e2e_request_latency_seconds",
        "request_queue_time_seconds", "request_prefill_time_seconds",
        "request_decode_time_seconds", "admission_rejections_total",
    ):  # fmt: skip
        assert f"# TYPE deepdeck:{name} " in text


def test_counts_rise_with_what_happened() -> None:
    metrics = ServerMetrics("m", 10)
    metrics.started(0.5, 0.2)
    metrics.prompt_read(100, 60)
    metrics.tokens(1, None)
    metrics.tokens(9, 0.9)
    metrics.finished(done(1200, ttft_ms=700, prompt_tokens=100, completion_tokens=10))
    metrics.finished(done(1, status=503, error_code="queue_full"))
    metrics.finished(done(1, status=429, error_code="tokens_per_minute"))
    metrics.finished(done(1, status=499))
    found = samples(metrics.text(EngineStats(preemptions=3)))

    def value(name: str, more: str = "") -> float:
        return found[f'deepdeck:{name}{{model_name="m"{more}}}']

    assert value("generation_tokens_total") == 10
    assert value("prefix_cache_queries_total") == 100
    assert value("prefix_cache_hits_total") == 60
    assert value("num_preemptions_total") == 3
    assert value("admission_rejections_total", ',reason="queue_full"') == 1
    assert value("admission_rejections_total", ',reason="tokens_per_minute"') == 1
    assert value("request_queue_time_seconds_sum") == 0.5
    assert value("request_decode_time_seconds_sum") == 0.5
    assert value("inter_token_latency_seconds_sum") == 0.1
    assert value("http_requests_total", ',handler="/v1/completions",status="499"') == 1
    assert metrics.errors_total == 2  # a client that left is no error


def test_paths_of_strangers_make_no_new_series() -> None:
    metrics = ServerMetrics("m", 10)
    before = len(metrics.text(EngineStats()).splitlines())
    for _ in range(1000):
        metrics.refused(401, "missing_api_key")
    assert len(metrics.text(EngineStats()).splitlines()) <= before + 3


def test_a_histogram_is_cumulative() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 99):
        histogram.observe(value)
    lines = list(histogram.lines("t", 'a="b"'))
    assert [line.rsplit(" ", 1)[1] for line in lines] == ["2", "3", "4", "102.000000", "4"]


@given(st.lists(st.floats(1e-4, 1e3), min_size=1, max_size=200))
def test_rolling_quantiles_are_nearest_rank_within_one_percent(values: list[float]) -> None:
    rolling = Rolling()
    for value in values:
        rolling.observe(value)
    ordered = sorted(values)
    window = rolling.window(300)
    for share in (0.5, 0.95, 0.99):
        exact = ordered[math.ceil(share * len(ordered)) - 1]
        found = window.quantile(share)
        assert found is not None
        assert found == pytest.approx(exact, rel=0.0101)


def test_what_is_older_than_the_window_is_forgotten_and_memory_is_bounded() -> None:
    clock = Clock()
    rolling = Rolling(300, clock)
    for _ in range(100_000):
        clock.now += 0.01
        rolling.observe(1.0)
    assert rolling.window(60).count == pytest.approx(6000, rel=0.03)
    assert len(rolling._seconds) <= 303
    clock.now += 61
    assert rolling.window(60).quantile(0.5) is None


def test_the_window_s_figures_are_of_the_last_minute() -> None:
    clock = Clock()
    metrics = ServerMetrics("m", 10, clock)
    for number in range(100):
        metrics.finished(done(100 if number else 10_000, ttft_ms=50))
        metrics.tokens(5, 0.05)
        clock.now += 0.1
    stats = metrics.stats(EngineStats(running=3, queued=2))
    assert stats.qps == pytest.approx(10, rel=0.05)
    assert stats.latency_p50_ms == pytest.approx(100, rel=0.02)
    assert stats.latency_p99_ms == pytest.approx(100, rel=0.02)
    assert stats.ttft_p99_ms == pytest.approx(50, rel=0.02)
    assert stats.inter_token_p50_ms == pytest.approx(10, rel=0.02)
    assert stats.tokens_per_second == pytest.approx(50, rel=0.05)
    assert (stats.running, stats.queued) == (3, 2)
    clock.now += 120
    quiet = metrics.stats(EngineStats())
    assert (quiet.qps, quiet.latency_p99_ms, quiet.tokens_per_second) == (0.0, None, 0.0)
    assert quiet.requests_total == 100


def test_an_amount_is_a_rate_over_its_window() -> None:
    clock = Clock()
    amount = Amount(10, clock)
    for _ in range(400):
        clock.now += 0.05
        amount.add(2)
    assert amount.per_second() == pytest.approx(40, rel=0.05)
    clock.now += 11
    assert amount.per_second() == 0


# -- the card ---------------------------------------------------------------------------------


class Cards:
    reason, detail, driver_version = None, "", None

    def __init__(self, *cards: GpuSample) -> None:
        self._cards = list(cards)

    def sample(self) -> list[GpuSample]:
        return self._cards

    def close(self) -> None:
        return


def card(index: int, used: float | None = 10.0) -> GpuSample:
    return GpuSample(index, f"card {index}", f"GPU-{index}ab", used, 80.0)


@pytest.mark.parametrize(
    ("device", "visible", "found"),
    [
        ("cpu", "0", None),
        ("cuda", "", "0"),
        ("cuda:1", "", "1"),
        ("cuda:0", "3,1", "3"),
        ("cuda:1", "3,1", "1"),
        ("cuda:0", "GPU-1ab", "GPU-1ab"),
        ("cuda:0", " 2 ", "2"),
    ],
)
def test_torch_s_card_is_found_among_the_driver_s(
    device: str, visible: str, found: str | None
) -> None:
    assert card_of(device, visible) == found


@pytest.mark.parametrize("name", ["1", "GPU-1ab", "GPU-1"])
def test_the_memory_is_that_of_the_model_s_card(name: str) -> None:
    watch = CardWatch(Cards(card(0, 70), card(1, 20)))
    watch.card = name
    watch.look()
    assert watch.use == CardUse(20, 80, "card 1")


def test_a_card_that_does_not_tell_is_not_shown_as_empty() -> None:
    for backend in (Cards(card(0, None)), Cards(), NoGpu("gpu.no_device")):
        watch = CardWatch(backend)
        watch.card = "0"
        watch.look()
        assert watch.use is None


def test_memory_is_told_as_a_share_of_the_card_and_of_the_budget() -> None:
    state = ServerState(ServeSpec(model="m", memory_share=0.5), ServerMetrics("m", 1))
    assert state.stats().memory_share is None
    state.card.use = CardUse(20, 80)
    assert state.stats().memory_share == 0.25
    found = samples(state.metrics.text(EngineStats(), state.gauges()))
    assert found['deepdeck:gpu_memory_budget_used_share{model_name="m"}'] == 0.5
    assert found['deepdeck:gpu_memory_total_bytes{model_name="m"}'] == 80 * 1024**3
