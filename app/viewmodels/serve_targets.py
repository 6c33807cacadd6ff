"""The three targets of a server as lights, each with the workload that it was measured on.

A light is green or red only where something was measured that could have shown the other. Few
requests say nothing about how many the machine can hold, so then it is grey, with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from core.protocol.events import ServeRequest, ServeSelfTest, ServeStats

TARGET_QPS = 50.0
TARGET_P99_MS = 500.0
TARGET_MEMORY = 0.85
LEAST_REQUESTS = 20
"""Of fewer the slowest one percent is a single one."""

LightState = Literal["met", "missed", "unknown"]
Reason = Literal[
    "measured",  # on what clients asked
    "self_test",  # by the server's test of itself
    "too_few",  # requests to tell
    "not_loaded",  # clients ask for less than the target
    "no_card",  # no card whose memory could be told
    "nothing",  # nobody has asked yet
]


@dataclass(frozen=True)
class Workload:
    """What really ran: typical lengths, and how often."""

    prompt_tokens: int
    answer_tokens: int
    requests: int
    rate_qps: float


@dataclass(frozen=True)
class Light:
    """One target."""

    state: LightState
    reason: Reason
    value: float | None = None
    workload: Workload | None = None


@dataclass(frozen=True)
class Lights:
    """All three."""

    qps: Light
    p99: Light
    memory: Light


def workload_of(requests: Sequence[ServeRequest], stats: ServeStats | None) -> Workload | None:
    """Medians over the answered requests of the window that the figures stand for."""
    since = stats.time_utc - stats.window_s if stats else 0.0
    answered = [r for r in requests if r.status == 200 and r.time_utc >= since]
    if not answered:
        return None
    return Workload(
        prompt_tokens=round(median(r.prompt_tokens for r in answered)),
        answer_tokens=round(median(r.completion_tokens for r in answered)),
        requests=len(answered),
        rate_qps=stats.qps if stats else 0.0,
    )


def lights_of(
    stats: ServeStats | None,
    requests: Sequence[ServeRequest],
    self_test: ServeSelfTest | None = None,
    memory_share: float | None = None,
) -> Lights:
    """The lights as they stand now.

    Args:
        stats: the newest figures.
        requests: the last requests, oldest first.
        self_test: the last word of the last self-test.
        memory_share: of the card, all its users together; None without one.
    """
    workload = workload_of(requests, stats)
    tested = self_test if self_test is not None and self_test.phase == "done" else None
    return Lights(
        _qps(stats, workload, tested), _p99(stats, workload, tested), _memory(memory_share)
    )


def _qps(
    stats: ServeStats | None, workload: Workload | None, tested: ServeSelfTest | None
) -> Light:
    rate = stats.qps if stats else None
    if rate is not None and rate >= TARGET_QPS:
        return Light("met", "measured", rate, workload)
    if tested is not None and tested.sustained_qps is not None:
        met = tested.sustained_qps >= TARGET_QPS
        return Light(
            "met" if met else "missed", "self_test", tested.sustained_qps, _tested_load(tested)
        )
    if rate is None or workload is None:
        return Light("unknown", "nothing", rate)
    if stats is not None and stats.queued > 0 and stats.queued >= stats.running:
        return Light("missed", "measured", rate, workload)  # more wait than are served
    return Light("unknown", "not_loaded", rate, workload)


def _p99(
    stats: ServeStats | None, workload: Workload | None, tested: ServeSelfTest | None
) -> Light:
    value = stats.latency_p99_ms if stats else None
    if value is not None and workload is not None and workload.requests >= LEAST_REQUESTS:
        return Light("met" if value < TARGET_P99_MS else "missed", "measured", value, workload)
    if tested is not None and tested.latency_p99_ms is not None:
        met = tested.latency_p99_ms < TARGET_P99_MS
        state: LightState = "met" if met else "missed"
        return Light(state, "self_test", tested.latency_p99_ms, _tested_load(tested))
    return Light("unknown", "too_few" if value is not None else "nothing", value, workload)


def _memory(share: float | None) -> Light:
    if share is None:
        return Light("unknown", "no_card")
    return Light("met" if share < TARGET_MEMORY else "missed", "measured", share)


def _tested_load(tested: ServeSelfTest) -> Workload:
    return Workload(
        tested.prompt_tokens, tested.answer_tokens, tested.completed, tested.sustained_qps or 0.0
    )
