"""Frames between front and engine: whole messages or the end of the channel, nothing between."""

from __future__ import annotations

import asyncio
import io

import pytest

from core.errors import AppError, ErrorCode
from workers.serve.engines import frames, wire
from workers.serve.engines.base import (
    NO_TOKEN,
    AdapterChange,
    EngineError,
    EngineStats,
    ModelFacts,
    Output,
    Request,
    SamplingParams,
    TokenEvent,
    TokenLogprob,
    started,
)

MESSAGES = [{"say": "stats", "of": {"running": 3}}, {"words": "中文 \n \0"}, {}]


async def read_all(data: bytes) -> list[dict | None]:
    stream = asyncio.StreamReader()
    stream.feed_data(data)
    stream.feed_eof()
    found: list[dict | None] = []
    while not found or found[-1] is not None:
        found.append(await frames.read_async(stream))
    return found


def read_all_blocking(data: bytes) -> list[dict | None]:
    stream, found = io.BytesIO(data), []
    while not found or found[-1] is not None:
        found.append(frames.read(stream))
    return found


def test_messages_come_out_as_they_went_in() -> None:
    data = b"".join(map(frames.encode, MESSAGES))
    assert read_all_blocking(data) == [*MESSAGES, None]
    assert asyncio.run(read_all(data)) == [*MESSAGES, None]


@pytest.mark.parametrize("cut", range(1, 30))
def test_a_torn_frame_is_the_end(cut: int) -> None:
    whole = frames.encode(MESSAGES[0])
    torn = whole + frames.encode(MESSAGES[0])[:-cut]
    assert read_all_blocking(torn) == [MESSAGES[0], None]
    assert asyncio.run(read_all(torn)) == [MESSAGES[0], None]


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff\xff\xff" + b"x" * 100,  # claims 4 GiB: never waited for, never allocated
        b"\x04\x00\x00\x00[1]\n",
        b"\x03\x00\x00\x00{]}",
        b"\x02\x00\x00\x00\xff\xfe",
        b"Loading weights: 100%|####|",
    ],
)
def test_what_is_no_frame_closes_the_channel(data: bytes) -> None:
    assert read_all_blocking(data) == [None]
    assert asyncio.run(read_all(data)) == [None]


def test_a_frame_that_is_too_long_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "MAX_FRAME_BYTES", 20)
    with pytest.raises(ValueError, match="20 are allowed"):
        frames.encode({"words": "x" * 30})


def through_frames(message: object) -> object:
    return frames.read(io.BytesIO(frames.encode({"m": message})))["m"]  # type: ignore[index]


@pytest.mark.parametrize(
    "params",
    [
        SamplingParams(max_new_tokens=5),
        SamplingParams(
            max_new_tokens=1,
            temperature=0.3,
            seed="a",
            stop_token_ids=frozenset({4, 9}),
            logit_bias=((5, -1.5), (7, 100.0)),
            grammar='{"type": "object"}',
            prompt_logprobs=3,
            embed=True,
            logprobs=0,
            ignore_eos=True,
        ),
    ],
)
def test_requests_survive_the_way(params: SamplingParams) -> None:
    request = Request(7, [1, 2, 3], params, "legal", "key-1")
    assert wire.request_in(through_frames(wire.request_out(request))) == request  # type: ignore[arg-type]


def test_events_survive_the_way() -> None:
    logprob = TokenLogprob(-0.25, ((3, -0.25), (9, float("-inf"))))
    outputs: list[Output] = [
        (1, started(12.5)),
        (1, TokenEvent(42)),
        (2, TokenEvent(2, "stop", is_stop_token=True)),
        (3, TokenEvent(5, "length", logprob=logprob, cached_tokens=16, queue_ms=0.0)),
        (4, TokenEvent(8, prompt_logprobs=(None, logprob))),
        (5, TokenEvent(NO_TOKEN, "stop", embedding=(0.6, -0.8))),
    ]
    assert wire.outputs_in(through_frames(wire.outputs_out(outputs))) == outputs  # type: ignore[arg-type]
    ((number, error),) = wire.outputs_in(
        through_frames(wire.outputs_out([(6, EngineError("no luck"))]))  # type: ignore[arg-type]
    )
    assert (number, type(error), str(error)) == (6, EngineError, "no luck")


def test_facts_stats_changes_and_errors_survive_the_way() -> None:
    facts = ModelFacts(
        "native", "cuda:0", "bf16", 400, 256, frozenset({2, 5}), (None, "a"), "4bit", 128, 9, 1.5,
        features=frozenset({"embeddings"}),
    )  # fmt: skip
    assert wire.facts_in(through_frames(wire.facts_out(facts))) == facts  # type: ignore[arg-type]
    stats = EngineStats(running=1, memory_gib=2.5, failed="no")
    assert wire.stats_in(through_frames(wire.stats_out(stats))) == stats  # type: ignore[arg-type]
    change = AdapterChange(load=(("a", "/x"), ("b", "/y")), unload=("c",))
    assert wire.change_in(through_frames(wire.change_out(change))) == change  # type: ignore[arg-type]
    error = AppError(ErrorCode.SERVE_MEMORY_SHORT, detail="why", need_gib=3.5, precision="bf16")
    again = wire.error_in(through_frames(wire.error_out(error.info)))  # type: ignore[arg-type]
    assert again.info == error.info
