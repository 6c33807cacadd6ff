"""Whoever joins, leaves, shares or is put back: each token is computed from the right cache.

The model here is a hash: a slot of the cache holds the digest of all tokens up to it, and the next
token is that digest modulo the vocabulary. So one wrong page, position or token changes the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from zlib import crc32

from hypothesis import given, settings
from hypothesis import strategies as st

from workers.serve.engines.base import Request, SamplingParams
from workers.serve.native.pages import PageAllocator, root_digest
from workers.serve.native.plan import Plan, Share
from workers.serve.native.rows import Row
from workers.serve.native.scheduler import Scheduler

VOCABULARY = 5
PAGE = 4


def fold(before: int, token: int) -> int:
    return crc32(bytes([token]), before)


def answer(prompt: list[int], count: int) -> list[int]:
    """What the model says behind a prompt, by definition."""
    state, tokens = 0, []
    for token in prompt:
        state = fold(state, token)
    for _ in range(count):
        tokens.append(state % VOCABULARY)
        state = fold(state, tokens[-1])
    return tokens


@dataclass
class Deck:
    """An engine without a model: runs plans over a cache of digests."""

    pages: int = 16
    max_rows: int = 4
    prefill_tokens: int = 8
    context: int = 40
    one_ahead: bool = False
    remembers: bool = True
    in_one_piece: bool = False
    pass_sizes: tuple[int, ...] = ()
    is_ready: Callable[[Row], bool] = lambda row: True
    answers: dict[int, list[int]] = field(default_factory=dict)
    plans: list[Plan] = field(default_factory=list)
    flight: tuple[Plan, dict[Row, int]] | None = None

    def __post_init__(self) -> None:
        self.allocator = PageAllocator(self.pages, PAGE, remembers=self.remembers)
        self.scheduler = Scheduler(
            self.allocator,
            self.max_rows,
            self.prefill_tokens,
            lambda row: self.is_ready(row),
            in_one_piece=self.in_one_piece,
            pass_sizes=self.pass_sizes,
        )
        self.cache: dict[int, int] = {}
        self.last_tokens: dict[int, int] = {}
        self.rows: dict[int, Row] = {}
        self.context = min(self.context, self.allocator.total * PAGE)

    def add(self, prompt: list[int], count: int, **changes: object) -> Row:
        request = Request(
            len(self.rows),
            prompt,
            SamplingParams(max_new_tokens=count, **changes),  # type: ignore[arg-type]
        )
        row = Row(request, min(len(prompt) + count, self.context), root_digest("model"))
        self.rows[row.id] = row
        self.answers[row.id] = []
        self.scheduler.add(row)
        return row

    def step(self) -> None:
        plan = self.scheduler.plan()
        self.plans.append(plan)
        self.copy_pages()
        self.check(plan)
        flight = (plan, {share.row: self.forward(share) for share in self.stored(plan)})
        if not self.one_ahead:
            self.collect(flight)
            return
        if self.flight is not None:
            self.collect(self.flight)
        self.flight = flight if plan else None
        self.sample(flight)

    def copy_pages(self) -> None:
        for sources, targets in self.scheduler.copies:
            pages = [[self.cache.get(s * PAGE + i, -1) for i in range(PAGE)] for s in sources]
            for target, content in zip(targets, pages, strict=True):
                self.cache.update({target * PAGE + i: c for i, c in enumerate(content)})
        self.scheduler.copies.clear()

    def check(self, plan: Plan) -> None:
        rows = [share.row for share in plan]
        assert len(rows) == len(set(rows)) <= self.max_rows
        slots = [row.slot for row in self.scheduler.rows if row.slot >= 0]
        assert len(slots) == len(set(slots))
        read = sum(share.count for share in plan if share.count > 1)
        assert read <= self.prefill_tokens

    def stored(self, plan: Plan) -> list[Share]:
        """Put all new tokens of a pass into the cache, in the order of their positions."""
        new = [(s.start + i, s) for s in plan for i in range(s.count)]
        for position, share in sorted(new, key=lambda item: item[0]):
            row = share.row
            known = position < len(row.tokens)
            token = row.tokens[position] if known else self.last_tokens[row.slot]
            before = self.cache[self.place(row, position - 1)] if position else 0
            self.cache[self.place(row, position)] = fold(before, token)
        return list(plan)

    def place(self, row: Row, position: int) -> int:
        return row.pages[position // PAGE] * PAGE + position % PAGE

    def forward(self, share: Share) -> int:
        return self.cache[self.place(share.row, share.start + share.count - 1)] % VOCABULARY

    def sample(self, flight: tuple[Plan, dict[Row, int]]) -> None:
        plan, tokens = flight
        for share in plan:
            if share.due and share.row.writes:
                self.last_tokens[share.row.slot] = tokens[share.row]

    def collect(self, flight: tuple[Plan, dict[Row, int]]) -> None:
        plan, tokens = flight
        self.sample(flight) if not self.one_ahead else None
        for share in plan:
            row = share.row
            if row.done or not share.due:
                continue
            if not row.writes:
                self.scheduler.finish(row)
                continue
            self.scheduler.take_token(row, tokens[row])
            self.answers[row.id].append(tokens[row])
            if len(row.tokens) >= row.limit:
                self.scheduler.finish(row)
        self.scheduler.landed(plan)

    def run(self, limit: int = 2000) -> None:
        while self.scheduler.rows or self.flight:
            self.step()
            limit -= 1
            assert limit, "no progress"

    def nothing_is_left(self) -> None:
        assert self.allocator.held == 0
        assert sorted(self.scheduler._free_slots) == list(range(self.max_rows))

    def expected(self, row: Row) -> list[int]:
        prompt = list(row.request.prompt)
        return answer(prompt, row.limit - len(prompt)) if row.writes else []


prompts = st.one_of(
    st.lists(st.integers(0, 1), min_size=1, max_size=24),
    st.integers(1, 24).map(lambda n: [3] * n),  # many common beginnings
)
requests = st.tuples(prompts, st.integers(0, 20), st.integers(0, 6), st.booleans())


@given(
    st.lists(requests, min_size=1, max_size=12),
    st.integers(11, 40),
    st.integers(1, 12),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.data(),
)
@settings(max_examples=200, deadline=None)
def test_every_answer_is_right_and_every_page_comes_back(
    wanted: list[tuple[list[int], int, int, bool]],
    pages: int,
    budget: int,
    one_ahead: bool,
    remembers: bool,
    in_one_piece: bool,
    data: st.DataObject,
) -> None:
    deck = Deck(
        pages, 4, budget, one_ahead=one_ahead, remembers=remembers, in_one_piece=in_one_piece
    )
    cancelled = set()
    for prompt, count, steps_before, leaves in wanted:
        for _ in range(steps_before):
            deck.step()
        row = deck.add(prompt, count)
        if leaves:
            cancelled.add(data.draw(st.sampled_from(list(deck.rows.values()))))
            deck.scheduler.finish(list(cancelled)[-1])
    deck.run()
    for row in deck.rows.values():
        if row not in cancelled:
            assert deck.answers[row.id] == deck.expected(row)
    deck.nothing_is_left()


def test_a_long_prompt_freezes_nobody() -> None:
    deck = Deck(pages=64, prefill_tokens=4, context=200)
    short = deck.add([1, 2], 12)
    deck.step()
    long = deck.add([0] * 100, 3)
    for written in range(2, 12):
        deck.step()
        assert len(deck.answers[short.id]) == written
    assert not deck.answers[long.id]
    deck.run()
    assert deck.answers[long.id] == deck.expected(long)


def test_short_prompts_pass_a_long_one_and_the_long_one_goes_on() -> None:
    deck = Deck(pages=64, prefill_tokens=8, context=200)
    long = deck.add([0] * 60, 1)
    deck.step()
    read = long.cached
    short = [deck.add([1, n], 1) for n in (2, 3)]
    deck.step()
    assert all(row.done for row in short)
    assert long.cached == read + 4, "half of the budget is the oldest row's"


def test_several_prompts_and_a_writing_row_share_one_pass() -> None:
    deck = Deck(pages=64, prefill_tokens=16)
    first = deck.add([1, 2, 3], 9)
    deck.step()
    others = [deck.add([1, 2, n], 9) for n in (3, 4, 0)]
    deck.step()
    assert [(s.row, s.count) for s in deck.plans[-1]] == [(first, 1), *((o, 3) for o in others)]


def test_a_pass_that_reads_fills_one_of_its_sizes_together_with_its_writers() -> None:
    deck = Deck(pages=64, max_rows=8, prefill_tokens=32, pass_sizes=(8, 16, 32), context=100)
    for n in range(3):
        deck.add([n, n + 1], 9)
    deck.step()
    deck.add([0] * 60, 1)
    deck.step()
    assert sum(share.count for share in deck.plans[-1]) == 8
    deck.run()
    deck.nothing_is_left()


def test_the_more_waits_to_be_read_the_larger_is_a_pass() -> None:
    deck = Deck(pages=200, max_rows=8, prefill_tokens=32, pass_sizes=(8, 16, 32), context=200)
    for n in range(4):
        deck.add([n] * 75, 1)
    deck.step()
    assert sum(share.count for share in deck.plans[-1]) == 32
    deck.run()
    assert [sum(s.count for s in plan) for plan in deck.plans if plan][-1] <= 8
    assert all(deck.answers[row.id] == deck.expected(row) for row in deck.rows.values())


def test_equal_prompts_are_read_once_in_a_single_pass() -> None:
    deck = Deck(pages=64, prefill_tokens=100)
    prompt = [1, 2, 3, 4, 0] * 4
    rows = [deck.add(prompt, 5) for _ in range(4)]
    deck.step()
    assert [share.count for share in deck.plans[-1]] == [20, 4, 4, 4]
    assert deck.scheduler.prefix_hit_tokens == 3 * 16
    deck.run()
    assert all(deck.answers[row.id] == answer(prompt, 5) for row in rows)


def test_equal_long_prompts_wait_for_the_one_that_reads() -> None:
    deck = Deck(pages=64, prefill_tokens=8, context=100)
    prompt = [1, 2, 3, 4, 0] * 8
    rows = [deck.add(prompt, 2) for _ in range(4)]
    deck.run()
    assert all(deck.answers[row.id] == answer(prompt, 2) for row in rows)
    assert sum(s.count for plan in deck.plans for s in plan if s.count > 1) <= 40 + 3 * 8


def test_a_known_beginning_is_copied_to_where_the_row_lies_in_one_piece() -> None:
    deck = Deck(pages=64, prefill_tokens=100, context=100, in_one_piece=True)
    beginning = [1, 2, 3, 4] * 4
    first = deck.add([*beginning, 0], 20)
    deck.step()
    others = [deck.add([*beginning, n], 9) for n in (1, 2)]
    deck.step()
    for row in others:
        assert row.prefix_hit_tokens == 16
        assert row.pages == list(range(row.pages[0], row.pages[0] + len(row.pages)))
        assert not set(row.pages) & set(first.pages)
    deck.run()
    assert all(deck.answers[row.id] == deck.expected(row) for row in [first, *others])
    deck.nothing_is_left()


def test_an_answer_is_part_of_the_next_prompts_beginning() -> None:
    deck = Deck(pages=64, prefill_tokens=100, context=100)
    first = deck.add([1, 2, 3], 14)
    deck.run()
    again = deck.add([1, 2, 3, *deck.answers[first.id], 4, 4], 1)
    deck.run()
    assert again.prefix_hit_tokens == 16


def test_a_dry_pool_puts_the_youngest_back_and_the_oldest_never_stops() -> None:
    deck = Deck(pages=9, prefill_tokens=100, context=32, remembers=False)
    rows = [deck.add([1, n], 26) for n in range(4)]
    deck.scheduler._answer_tokens = 2.0  # everybody is expected to be brief, and lets others in
    written = []
    while deck.scheduler.rows:
        deck.step()
        written.append(len(deck.answers[rows[0].id]))
    assert written[:26] == list(range(1, 27))
    assert deck.scheduler.preemptions > 0
    assert all(deck.answers[row.id] == deck.expected(row) for row in rows)


def test_a_reserve_is_given_back_before_anybody_is_put_back() -> None:
    deck = Deck(pages=13, prefill_tokens=100, context=40)
    deck.scheduler._answer_tokens = 16.0
    first, second = deck.add([1], 38), deck.add([2], 6)
    deck.run()
    assert deck.scheduler.preemptions == 0
    assert deck.answers[first.id] == deck.expected(first)
    assert deck.answers[second.id] == deck.expected(second)


def test_rows_enter_by_arrival_even_when_a_later_one_would_fit() -> None:
    deck = Deck(pages=11, prefill_tokens=100, context=40)
    deck.scheduler._answer_tokens = 4.0
    deck.add([1] * 20, 10)
    big, small = deck.add([2] * 18, 6), deck.add([3], 2)
    deck.step()
    assert not big.pages
    assert not small.pages
    deck.run()
    assert big.admitted_at is not None
    assert small.admitted_at is not None
    assert big.admitted_at <= small.admitted_at


def test_a_row_that_is_not_ready_holds_up_nobody() -> None:
    waits: set[Row] = set()
    deck = Deck(is_ready=lambda row: row not in waits)
    blocked = deck.add([1, 2], 2)
    waits.add(blocked)
    other = deck.add([3], 2)
    for _ in range(3):
        deck.step()
    assert other.done
    assert not blocked.pages
    waits.clear()
    deck.run()
    assert deck.answers[blocked.id] == answer([1, 2], 2)


def test_a_row_that_wants_every_prompt_token_scored_takes_nothing_from_memory() -> None:
    deck = Deck(pages=64, prefill_tokens=100)
    prompt = [1, 2, 3, 4] * 3
    deck.add(prompt, 1)
    deck.run()
    scored, embedded = deck.add(prompt, 0, prompt_logprobs=0), deck.add(prompt, 1, embed=True)
    deck.step()
    assert [share.count for share in deck.plans[-1].shares] == [12]
    assert [share.count for share in deck.plans[-1].embeds] == [12]
    assert scored.done
    assert embedded.done


def test_a_reset_ends_what_has_begun_and_leaves_who_waits() -> None:
    deck = Deck(max_rows=1)
    begun, waits = deck.add([1, 2, 3], 9), deck.add([4], 3)
    deck.step()
    assert deck.scheduler.reset() == [begun]
    assert deck.allocator.available == deck.allocator.total
    deck.run()
    assert deck.answers[waits.id] == answer([4], 3)
