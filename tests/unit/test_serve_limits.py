"""Who is let in: keys' limits, the queue, the predicted wait, and what the others are told."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.api_keys import ApiKey, KeyUse, day_of
from core.config.serve import ServeSpec
from workers.serve.engines.base import SamplingParams, Ticket, TokenEvent
from workers.serve.http.bodies import BodyReader, check_depth, depth_of
from workers.serve.http.errors import ApiError
from workers.serve.http.keys import Grant
from workers.serve.http.limits import Admission, Permit
from workers.serve.http.rates import Meter, SlidingSum


class Clock:
    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def key(**limits: Any) -> ApiKey:
    return ApiKey(name="phone", sha256="0" * 64, **limits)


def refusal(act: Any) -> ApiError:
    with pytest.raises(ApiError) as refused:
        act()
    return refused.value


# -- a minute ---------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.floats(0, 50), st.integers(1, 9)), max_size=40), st.integers(0, 60))
def test_a_sliding_sum_is_what_was_added_in_the_window(
    added: list[tuple[float, int]], room: int
) -> None:
    total, now, log = SlidingSum(60.0), 0.0, []
    for gap, amount in added:
        now += gap
        total.add(now, amount)
        log.append((now, amount))

    def expected(at: float) -> int:
        return sum(n for t, n in log if t > at - 60.0)

    assert total.used(now) == expected(now)
    wait = total.wait_s(now, room)
    assert expected(now + wait + 1e-6) <= room
    assert wait == 0 or expected(now + wait - 1e-3) > room


def test_no_minute_has_more_requests_than_the_key_may() -> None:
    clock = Clock()
    meter = Meter(clock, clock)
    passed = []
    for _ in range(600):
        clock.now += 0.5
        with contextlib.suppress(ApiError):
            meter.reserve(key(requests_per_minute=20), 1)
            passed.append(clock.now)
    assert len(passed) >= 80
    for start in passed:
        assert sum(start <= t < start + 60 for t in passed) <= 20


def test_who_waits_as_long_as_told_passes() -> None:
    clock = Clock()
    meter = Meter(clock, clock)
    for _ in range(3):
        meter.reserve(key(requests_per_minute=3), 1)
        clock.now += 5
    error = refusal(lambda: meter.reserve(key(requests_per_minute=3), 1))
    assert error.retry_after_s == pytest.approx(45)
    assert error.response().headers["retry-after"] == "45"
    clock.now += error.retry_after_s
    meter.reserve(key(requests_per_minute=3), 1)


def test_tokens_are_reserved_at_first_and_counted_at_the_end() -> None:
    clock = Clock()
    meter, limited = Meter(clock, clock), key(tokens_per_minute=100)
    first = meter.reserve(limited, 80)
    assert refusal(lambda: meter.reserve(limited, 30)).code == "tokens_per_minute"
    meter.settle(first, 10)  # the answer was shorter
    meter.reserve(limited, 80)
    assert refusal(lambda: meter.reserve(limited, 30)).code == "tokens_per_minute"


def test_a_request_above_the_whole_limit_passes_when_nothing_else_was_used() -> None:
    clock = Clock()
    meter, limited = Meter(clock, clock), key(tokens_per_minute=100, tokens_per_day=150)
    done = meter.reserve(limited, 500)
    error = refusal(lambda: meter.reserve(limited, 1))
    assert error.retry_after_s <= 60
    meter.settle(done, 120)
    clock.now += 61
    meter.reserve(limited, 20)
    assert refusal(lambda: meter.reserve(limited, 20)).code == "tokens_per_day"


def test_a_day_ends_at_midnight_utc_and_counts_what_other_servers_told() -> None:
    clock = Clock(20_000 * 86_400 + 86_000.0)
    meter, limited = Meter(clock, clock), key(tokens_per_day=100)
    meter.told = KeyUse(last_used_utc=1, day=day_of(clock.now), tokens_today=90)
    error = refusal(lambda: meter.reserve(limited, 20))
    assert (error.code, error.retry_after_s) == ("tokens_per_day", 400)
    clock.now += 401
    meter.settle(meter.reserve(limited, 20), 20)
    taken = meter.take_untold()
    assert taken is not None
    assert taken.tokens_today == 20
    assert meter.take_untold() is None
    assert refusal(lambda: meter.reserve(limited, 90)).code == "tokens_per_day"


# -- the queue --------------------------------------------------------------------------------


class Door:
    """An admission with a clock in hand and tickets that start and end when told."""

    def __init__(self, capacity: int = 2, **spec: Any) -> None:
        self.clock = Clock(100.0)
        values = {"model": "m", "default_new_tokens": 10, **spec}
        self.admission = Admission(ServeSpec(**values), lambda: capacity, self.clock)

    def ask(
        self, name: str = "own", tokens: int = 5, answers: int = 1, others: bool = False
    ) -> Permit:
        permit = self.admission.admit(
            Grant(id=name), prompt_tokens=tokens, answers=answers, new_tokens=10, others=others
        )
        params = SamplingParams(max_new_tokens=10)
        permit.tickets += [Ticket([1] * tokens, params, None) for _ in range(answers)]
        return permit

    def ask_until_refused(self, **ask: Any) -> tuple[int, ApiError]:
        for asked in range(1000):
            try:
                self.ask(**ask)
            except ApiError as e:
                return asked, e
        raise AssertionError("never refused")

    def start(self, permit: Permit) -> Permit:
        for ticket in permit.tickets:
            ticket.started_at = self.clock.now
        self.clock.now += 1
        return permit

    def finish(self, permit: Permit, tokens: int = 10) -> None:
        for ticket in permit.tickets:
            ticket.deliver(TokenEvent(5, "length"))
        self.admission.leave(permit, tokens, True)

    def load(self, per_second: float) -> None:
        """A while of full load at this speed."""
        for _ in range(20):
            self.clock.now += 0.25
            self.admission.rate.did(per_second * 0.25, waiting=True)


def test_as_many_may_wait_as_the_spec_says_beside_those_that_run() -> None:
    door = Door(capacity=2, queue_limit=3)
    for _ in range(2):
        door.start(door.ask())
    waiting = [door.ask() for _ in range(3)]
    error = refusal(door.ask)
    assert (error.status, error.code) == (503, "queue_full")
    assert int(error.response().headers["retry-after"]) >= 1
    door.finish(door.start(waiting[0]))
    door.ask()


def test_places_that_are_free_are_taken_without_a_queue() -> None:
    door = Door(capacity=4, queue_limit=0)
    for _ in range(4):
        door.ask()  # the engine has not even told that the first one started
    assert refusal(door.ask).code == "queue_full"


def test_with_a_queue_of_none_a_freed_place_is_used_again() -> None:
    door = Door(capacity=1, queue_limit=0)
    for _ in range(5):
        permit = door.start(door.ask())
        assert refusal(door.ask).code == "queue_full"
        door.finish(permit)


def test_what_has_places_but_does_not_start_is_waiting_for_memory() -> None:
    door = Door(capacity=8, queue_limit=3)
    for _ in range(4):
        door.ask()
    assert door.admission.waiting().answers == 0
    door.clock.now += 1
    assert door.admission.waiting().answers == 4
    assert refusal(door.ask).code == "queue_full"


def test_long_prompts_fill_the_queue_sooner() -> None:
    door = Door(capacity=1, queue_limit=100, queue_limit_tokens=1000)
    door.start(door.ask())
    door.ask(tokens=600)
    assert refusal(lambda: door.ask(tokens=600)).code == "queue_full"
    door.ask(tokens=300)


def test_one_alone_may_ask_for_more_than_the_queue_holds() -> None:
    door = Door(capacity=1, queue_limit=0, queue_limit_tokens=10)
    door.ask(tokens=10_000, answers=4)


def test_a_wait_that_would_be_too_long_is_refused_at_once_with_its_length() -> None:
    door = Door(capacity=1, queue_limit=1000, queue_timeout_s=20, default_new_tokens=10)
    door.start(door.ask())
    door.load(per_second=10)
    asked, error = door.ask_until_refused(tokens=0)
    assert (error.status, error.code) == (503, "queue_slow")
    # 10 tokens each at 10 a second: about 20 of them are 20 s of waiting.
    assert 18 <= asked <= 23
    assert 1 <= error.retry_after_s <= 21


def test_retry_after_grows_with_the_queue_and_shrinks_with_speed() -> None:
    waits = []
    for count, speed in ((10, 10), (40, 10), (40, 100)):
        door = Door(capacity=1, queue_limit=count, queue_timeout_s=10_000)
        door.start(door.ask())
        door.load(speed)
        for _ in range(count):
            door.ask(tokens=0)
        waits.append(refusal(door.ask).retry_after_s)
    assert waits[0] == pytest.approx(5, rel=0.1)
    assert waits[1] == pytest.approx(20, rel=0.1)
    assert waits[2] == pytest.approx(2, rel=0.1)


def test_nothing_is_predicted_from_a_time_without_a_queue() -> None:
    """One user alone is slower than a full batch: his speed says nothing of it."""
    door = Door(capacity=64, queue_limit=1000, queue_timeout_s=1)
    for _ in range(100):
        door.clock.now += 0.1
        door.admission.did(prompt_tokens=0, answer_tokens=1)
    for _ in range(300):
        door.ask()


def test_one_key_cannot_fill_the_queue_while_there_are_others() -> None:
    door = Door(capacity=1, queue_limit=20)
    door.start(door.ask("a", others=True))
    _, error = door.ask_until_refused(name="a", others=True)
    assert (error.status, error.code) == (429, "key_share_used")
    assert door.admission.waiting().answers == 15
    for _ in range(5):
        door.ask("b", others=True)  # the rest of the queue is b's
    assert refusal(lambda: door.ask("b", others=True)).code == "queue_full"


def test_leaving_twice_or_without_an_answer_frees_one_place() -> None:
    door = Door(capacity=1, queue_limit=1)
    first = door.ask()
    door.ask()
    door.admission.leave(first, 0, False)
    door.admission.leave(first, 0, False)
    door.ask()
    assert refusal(door.ask).code == "queue_full"


def test_ten_times_more_than_it_can_do_leaves_the_same_wait_for_those_let_in() -> None:
    """A simulated server that finishes 10 requests a second, asked 100 times a second for a
    minute: the queue never grows, and who is let in starts within the limit."""
    door = Door(capacity=4, queue_limit=1000, queue_timeout_s=2.0, default_new_tokens=10)
    queue: list[tuple[Permit, float]] = []
    waits: list[float] = []
    refused: list[str | None] = []
    most = 0
    for tick in range(6000):
        door.clock.now += 0.01
        if tick % 10 == 9 and queue:
            permit, came = queue.pop(0)
            waits.append(door.clock.now - came)
            now = door.clock.now
            door.start(permit)
            door.clock.now = now
            door.admission.did(prompt_tokens=0, answer_tokens=10)
            door.finish(permit)
        try:
            queue.append((door.ask(tokens=0), door.clock.now))
        except ApiError as e:
            refused.append(e.code)
        if tick > 1000:
            most = max(most, len(queue))
    assert len(refused) > 4500
    assert set(refused) == {"queue_slow"}
    assert most <= 30
    assert max(waits[150:]) <= 2.0 * 1.5
    assert len(waits) >= 595  # and it was never idle


# -- bodies -----------------------------------------------------------------------------------


def plain_depth(text: str) -> int:
    depth = deepest = 0
    inside = escaped = False
    for c in text:
        if inside:
            escaped, inside = (c == "\\" and not escaped), not (c == '"' and not escaped)
        elif c == '"':
            inside = True
        elif c in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif c in "]}":
            depth -= 1
    return deepest


JSON = st.recursive(
    st.none() | st.text(alphabet='"\\[]{}a', max_size=6) | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(alphabet='"\\[{', max_size=4), inner, max_size=3)
    ),
    max_leaves=20,
)


@given(JSON)
def test_depth_counts_brackets_outside_of_strings(value: Any) -> None:
    text = json.dumps(value)
    assert depth_of(text.encode()) == plain_depth(text)


@given(st.binary(max_size=200))
def test_depth_of_any_bytes_is_a_number(body: bytes) -> None:
    assert 0 <= depth_of(body) <= len(body)


def test_deep_json_is_refused_and_wide_json_is_not() -> None:
    check_depth(json.dumps({"prompt": "[" * 5000}).encode())
    check_depth(json.dumps({"messages": [[]] * 5000}).encode())
    for body in (b"[" * 100_000, b'{"a":' * 50 + b"1" + b"}" * 50):
        assert refusal(lambda body=body: check_depth(body)).status == 400


def feed(*pieces: bytes, then: str = "http.disconnect", stall: bool = False) -> Any:
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": p, "more_body": i < len(pieces) - 1 or stall}
        for i, p in enumerate(pieces)
    ] + [{"type": then}]

    async def receive() -> dict[str, Any]:
        if stall and len(messages) == 1:
            await asyncio.sleep(3600)
        return messages.pop(0)

    return receive


def test_a_body_is_given_again_whole_and_then_what_follows() -> None:
    async def read() -> list[Any]:
        again = await BodyReader().read(feed(b'{"a"', b":1}"))
        assert again is not None
        return [await again(), await again()]

    first, second = asyncio.run(read())
    assert first == {"type": "http.request", "body": b'{"a":1}', "more_body": False}
    assert second == {"type": "http.disconnect"}


def test_a_body_that_is_too_large_too_slow_or_cut_is_not_passed_on() -> None:
    async def read(receive: Any, **limits: Any) -> Any:
        return await BodyReader(**limits).read(receive)

    error = refusal(lambda: asyncio.run(read(feed(b"x" * 6, b"x" * 6), max_bytes=10)))
    assert error.status == 413
    error = refusal(lambda: asyncio.run(read(feed(b"x", stall=True), patience_s=0.01)))
    assert error.status == 408
    assert asyncio.run(read(feed())) is None


def test_all_bodies_together_stay_under_a_limit_that_is_given_back() -> None:
    reader = BodyReader(max_all_bytes=100, patience_s=0.05)

    async def read() -> None:
        slow = asyncio.create_task(reader.read(feed(b"x" * 80, stall=True)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        with pytest.raises(ApiError) as refused:
            await reader.read(feed(b"x" * 40))
        assert (refused.value.status, refused.value.code) == (503, "bodies_too_large")
        with pytest.raises(ApiError):
            await slow
        assert await reader.read(feed(b"1" * 90)) is not None

    asyncio.run(read())
