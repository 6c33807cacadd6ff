"""Far more requests than the server can do: a bounded queue, honest refusals, flat memory."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import psutil
import pytest

pytest.importorskip("torch")

from core.protocol.events import ServeStats
from tests.e2e.serve_process import ServerProcess, serving
from tests.tiny_models import build_tiny

COMPLETE = "/v1/completions"
PLACES, QUEUE = 4, 8
TOKENS = 24
AT_ONCE = 10 * (PLACES + QUEUE)
ROUNDS = 3
ROOM_MIB = 96
"""For buffers of sockets and what allocators keep."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("overload")
    model = build_tiny(folder / "model", "llama")
    with serving(folder / "home", model, max_batch_size=PLACES, queue_limit=QUEUE) as running:
        yield running


def body(number: int, **more: Any) -> dict[str, Any]:
    asked = {"prompt": [5 + number % 40] * 12, "max_tokens": TOKENS, "ignore_eos": True}
    return asked | {"temperature": 0} | more


def flood(server: ServerProcess, count: int, **more: Any) -> list[httpx.Response]:
    """All of them at the same time."""

    async def all_of_them() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=count)
        headers = {"Authorization": f"Bearer {server.key}"}
        async with httpx.AsyncClient(
            base_url=server.url, headers=headers, limits=limits, timeout=120
        ) as http:
            asked = [http.post(COMPLETE, json=body(n, **more)) for n in range(count)]
            return list(await asyncio.gather(*asked))

    return asyncio.run(all_of_them())


def memory_mib(server: ServerProcess) -> float:
    """Of the server and everything it started."""
    front = psutil.Process(server.process.pid)
    processes = [front, *front.children(recursive=True)]
    return sum(p.memory_info().rss for p in processes) / 2**20


def test_ten_times_too_many_are_refused_at_once_and_the_rest_is_served_whole(
    server: ServerProcess,
) -> None:
    flood(server, 2 * PLACES)  # buffers are made, kernels chosen
    before = memory_mib(server)
    found = [r for _ in range(ROUNDS) for r in flood(server, AT_ONCE)]
    statuses = Counter(r.status_code for r in found)
    assert set(statuses) == {200, 503}
    assert statuses[200] >= PLACES * ROUNDS
    assert statuses[503] >= AT_ONCE * ROUNDS // 2
    for response in found:
        if response.status_code == 200:
            assert response.json()["usage"]["completion_tokens"] == TOKENS
        else:
            assert response.json()["error"]["code"] in ("queue_full", "queue_slow")
            assert 1 <= int(response.headers["retry-after"]) <= 60
    assert memory_mib(server) - before < ROOM_MIB


def test_the_queue_was_never_longer_than_allowed(server: ServerProcess) -> None:
    told = [e for e in server.events if isinstance(e, ServeStats)]
    # One that was let in on a free place counts as waiting until the engine's word comes back.
    assert max(e.queued + e.running for e in told) <= QUEUE + PLACES
    assert max(e.running for e in told) <= PLACES


def test_refusals_are_counted_by_their_reason(server: ServerProcess) -> None:
    refused = [r for r in flood(server, AT_ONCE) if r.status_code == 503]
    with server.client() as http:
        lines = http.get("/metrics").text.splitlines()
    counted = sum(
        int(line.rsplit(" ", 1)[1])
        for line in lines
        if line.startswith("deepdeck:admission_rejections_total{")
    )
    assert counted >= len(refused) > 0


def test_streams_that_cannot_be_served_are_refused_before_their_headers(
    server: ServerProcess,
) -> None:
    found = flood(server, AT_ONCE, stream=True)
    assert {r.status_code for r in found} == {200, 503}
    for response in found:
        if response.status_code == 200:
            assert response.text.rstrip().endswith("[DONE]")
            assert '"error"' not in response.text
        else:
            assert response.headers["content-type"].startswith("application/json")
            assert "retry-after" in response.headers


def test_who_comes_back_when_told_is_served_in_the_end(server: ServerProcess) -> None:
    """Clients that obey Retry-After all get their answer, without more than a few tries each."""

    async def obedient(http: httpx.AsyncClient, number: int) -> int:
        for tries in range(1, 40):
            response = await http.post(COMPLETE, json=body(number))
            if response.status_code == 200:
                return tries
            await asyncio.sleep(int(response.headers["retry-after"]) / 4)
        raise AssertionError("never served")

    async def course() -> list[int]:
        headers = {"Authorization": f"Bearer {server.key}"}
        async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=120) as http:
            return list(await asyncio.gather(*(obedient(http, n) for n in range(40))))

    assert max(asyncio.run(course())) < 40


def test_afterwards_everything_is_as_before(server: ServerProcess) -> None:
    with server.client() as http:
        for _ in range(200):
            lines = http.get("/metrics").text.splitlines()
            still = [x for x in lines if x.startswith("deepdeck:num_requests_")]
            if all(x.endswith(" 0") for x in still):
                break
            time.sleep(0.05)
        assert len(still) == 3
        assert all(x.endswith(" 0") for x in still)
        first, second = (http.post(COMPLETE, json=body(1)).json() for _ in "12")
    assert first["choices"] == second["choices"]
    assert not [e for e in server.events if e.kind == "serve.engine"]
    assert json.loads((server.run.path / "audit.jsonl").read_text().splitlines()[-1])
