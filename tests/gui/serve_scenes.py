"""Invented servers that show what the Deploy page can show, for tests and for looking at it.

python -m tests.gui.serve_scenes HOME [SCENE ...]          # finished runs only
python -m tests.gui.serve_scenes HOME SCENE ... --stay     # they live until Ctrl-C
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from core import atomic_io
from core.config.serve import ServeSpec
from core.errors import ErrorInfo
from core.paths import Home
from core.protocol.codec import encode_event
from core.protocol.events import (
    Event,
    OpenRequest,
    PhaseChanged,
    RunFinished,
    RunStarted,
    ServeEngine,
    ServeReady,
    ServeRequest,
    ServeSelfTest,
    ServeStats,
)
from core.runlog.run_dir import RunDir
from core.services.documents import run_document
from core.supervisor.identity import ProcessIdentity

BASE = "R1-Distill-Qwen-7B"
TUNED = f"{BASE}:legal-qa"
KEYS = ("cline", "open-webui", "ci")
ROUTES = ("/v1/chat/completions", "/v1/chat/completions", "/v1/completions")


def begun() -> list[Event]:
    return [RunStarted(job="serve", pid=os.getpid(), versions={"torch": "2.11"})]


def ready(**more: object) -> ServeReady:
    values: dict[str, object] = {
        "url": "http://127.0.0.1:8000", "model_id": TUNED, "adapter": "legal-qa",
        "engine": "native", "device": "cuda:0", "dtype": "bf16", "precision": "bf16",
        "max_context_tokens": 32_768, "adapters": (TUNED,), "cache_tokens": 262_144,
        "max_batch_size": 128, "memory_budget_gib": 20.4,
    }  # fmt: skip
    return ServeReady(**(values | more))


def answered(n: int, at_utc: float, **more: object) -> ServeRequest:
    values: dict[str, object] = {
        "request_id": f"req-{n:06d}", "route": ROUTES[n % 3], "status": 200, "time_utc": at_utc,
        "prompt_tokens": 120 + 7 * (n % 9), "completion_tokens": 28 + n % 11, "queue_ms": n % 4,
        "ttft_ms": 34.0 + n % 7, "total_ms": 372.0 + 9 * (n % 6), "finish_reason": "stop",
        "streamed": True, "model": TUNED if n % 4 else BASE, "key_name": KEYS[n % 3],
        "cached_tokens": 96 if n % 3 else 0,
    }  # fmt: skip
    return ServeRequest(**(values | more))


def stats(second: int, rng: np.random.Generator, at_utc: float, **more: object) -> ServeStats:
    qps = 58 + 8 * math.sin(second / 40) + float(rng.normal(0, 2))
    values: dict[str, object] = {
        "time_utc": at_utc, "requests_total": 40 * second, "errors_total": 7, "running": 24,
        "queued": 0, "queue_limit": 256, "qps": qps, "ttft_p50_ms": 38 + float(rng.normal(0, 2)),
        "ttft_p99_ms": 96.0, "latency_p50_ms": 210 + float(rng.normal(0, 6)),
        "latency_p95_ms": 341.0, "latency_p99_ms": 412 + float(rng.normal(0, 25)),
        "tokens_per_second": 32 * qps, "prompt_tokens_per_second": 128 * qps, "memory_gib": 19.1,
        "memory_share": 0.81, "cache_tokens": 61_000, "cache_capacity_tokens": 262_144,
        "prefix_hit_share": 0.43, "errors_by_reason": {"queue_full": 5, "bad_request": 2},
    }  # fmt: skip
    return ServeStats(**(values | more))


def open_requests() -> tuple[OpenRequest, ...]:
    states = (("writing", 2.1, 24), ("reading", 0.3, 0), ("queued", 0.1, 0))
    return tuple(
        OpenRequest(
            request_id=f"req-9{n:05d}", route=ROUTES[n], model=TUNED, key_name=KEYS[n],
            state=state, age_s=age, prompt_tokens=812, completion_tokens=done,
        )
        for n, (state, age, done) in enumerate(states)
    )  # fmt: skip


def busy(seconds: int = 300) -> list[Event]:
    """A server under load that meets its targets."""
    rng, now = np.random.default_rng(7), time.time()
    events: list[Event] = [*begun(), ready()]
    events += [stats(s, rng, now - seconds + s) for s in range(1, seconds)]
    events += [answered(n, now - 60 + n / 2) for n in range(110)]
    events.append(answered(110, now - 4, status=503, error_code="queue_full", finish_reason=None,
                           completion_tokens=0, ttft_ms=None, total_ms=2.0))  # fmt: skip
    events.append(answered(111, now - 3, status=499, finish_reason=None))
    events.append(answered(112, now - 2, finish_reason="length"))
    events.append(stats(seconds, rng, now, open_requests=open_requests(), queued=1))
    return events


def quiet() -> list[Event]:
    """A server on a processor that three people asked."""
    now = time.time()
    local = ready(device="cpu", dtype="fp32", precision="fp32", adapters=(), model_id=BASE,
                  cache_tokens=16_384, max_batch_size=16)  # fmt: skip
    told = ServeStats(time_utc=now, requests_total=3, running=0, queue_limit=256, qps=0.05,
                      ttft_p50_ms=180, latency_p50_ms=2100, latency_p95_ms=2400,
                      latency_p99_ms=2410, tokens_per_second=11, memory_gib=1.2)  # fmt: skip
    some = [answered(n, now - 20 + n, model=BASE, total_ms=2100.0, ttft_ms=180) for n in range(3)]
    return [*begun(), local, *some, told]


def self_tested() -> list[Event]:
    """The same after its self-test."""
    told: list[Event] = []
    for n, (rate, p99) in enumerate(((8, 204), (16, 240), (32, 331), (48, 455), (64, 790))):
        told.append(
            ServeSelfTest(
                phase="running", fraction=(n + 1) / 6, prompt_tokens=128, answer_tokens=32,
                rate_qps=rate, completed=rate * 4, refused=0 if rate < 64 else 9,
                ttft_p50_ms=22 + n * 6, ttft_p99_ms=60 + n * 30, latency_p50_ms=p99 * 0.55,
                latency_p99_ms=p99, tokens_per_second=rate * 32,
            )
        )  # fmt: skip
    done = ServeSelfTest(
        phase="done", fraction=1.0, prompt_tokens=128, answer_tokens=32, completed=192,
        latency_p99_ms=455, sustained_qps=48, physics_qps=71, one_stream_tokens_per_second=118,
    )  # fmt: skip
    return [*quiet(), *told, done]


def crashed() -> list[Event]:
    told = ServeEngine(state="restarting", reason="killed by signal 9", attempt=2,
                       retry_in_s=8.0, time_utc=time.time())  # fmt: skip
    return [*busy(60), told]


def loading() -> list[Event]:
    return [*begun(), PhaseChanged(phase="loading_model", fraction=0.42, detail=BASE)]


def failed() -> list[Event]:
    error = ErrorInfo(
        code="serve.memory_short", params={"need_gib": 15.2, "budget_gib": 6.8, "precision": "bf16"}
    )
    return [*begun(), RunFinished(outcome="failed", reason="error", error=error)]


SCENES = {
    "busy": busy, "quiet": quiet, "self_tested": self_tested, "crashed": crashed,
    "loading": loading, "failed": failed,
}  # fmt: skip


def write_server(
    home: Home, name: str, events: Iterable[Event], *, alive: bool = True, **spec: object
) -> RunDir:
    values: dict[str, object] = {"model": "/models/r1-qwen-7b", "device": "cuda:0", **spec}
    document = run_document("serve", ServeSpec.parse(values), name=BASE)
    run = RunDir.create(home.runs, f"20261124-120000-serve-{name}-0001", document)
    append(run, events)
    if alive:  # this very process stands for the worker: it lives as long as the test
        identity = ProcessIdentity.of(os.getpid())
        assert identity is not None
        atomic_io.write_json(run.process_json, identity.as_document())
        run.heartbeat.touch()
    return run


def append(run: RunDir, events: Iterable[Event]) -> None:
    """With the times that the events already have: a scene has a past."""
    known = len(run.events.read_bytes().splitlines()) if run.events.exists() else 0
    with run.events.open("ab") as file:
        for seq, event in enumerate(events, known + 1):
            stamp = {
                "run_id": run.run_id, "seq": seq, "kind": type(event).KIND,
                "time_utc": event.time_utc or time.time(),
            }  # fmt: skip
            file.write(encode_event(event.model_copy(update=stamp)))


def stay(runs: list[RunDir]) -> None:
    """Be the worker of all of them, until Ctrl-C."""
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            for run in runs:
                run.heartbeat.touch()
            time.sleep(1)


def main(home: Home, *words: str) -> None:
    """See the module's text."""
    stays = "--stay" in words
    scenes = [word for word in words if word != "--stay"] or list(SCENES)
    runs = [write_server(home, scene, SCENES[scene](), alive=stays) for scene in scenes]
    for run in runs:
        print(run.run_id, flush=True)
    if stays:
        stay(runs)


if __name__ == "__main__":
    main(Home(Path(sys.argv[1])), *sys.argv[2:])
