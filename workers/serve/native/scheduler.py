"""Who takes part in the next pass. No torch in here.

Every pass takes the rows that write, one token each, and fills up with bites of the prompts that
are still to be read: a long prompt freezes nobody. A row enters when there are pages for its prompt
and for the answer it may be expected to give; should the pool run dry all the same, unused reserves
are given back first, then the youngest row gives back all its pages and is read again later. The
oldest row always goes on, so there is no deadlock and nobody waits forever.
(Bites of prompts: Sarathi-Serve, arXiv:2403.02310. Paging and recomputation: arXiv:2309.06180.)
"""

from __future__ import annotations

import time
from bisect import insort
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, pairwise, takewhile

from workers.serve.native.pages import PageAllocator
from workers.serve.native.plan import Plan, Share
from workers.serve.native.rows import Row

_GROWTH_PAGES = 4
"""Pages that a row takes at once when it outgrows its reserve."""
_FIRST_GUESS_TOKENS = 128
"""Expected length of an answer before any has ended."""
_WORTH_WAITING = 0.25
"""Share of a prompt that another row must be reading for it to wait for that row's pages."""
_PASSES_A_BACKLOG = 8
"""Passes in which what waits to be read is wanted to be read, where passes may be that large."""
_SCORED_BITE_TOKENS = 256
"""Bite of a row that wants logits for each token of its prompt: they are large."""


class Scheduler:
    """Rows waiting, reading and writing, and the pages they hold.

    Args:
        pages: the allocator of the pool.
        max_rows: rows with a slot at once.
        prefill_tokens: prompt tokens a pass, beside one token a writing row.
        is_ready: whether a waiting row may enter (its grammar is compiled).
        freed: told of each slot that nobody uses any more.
        in_one_piece: rows read their cache as one slice: a known beginning that lies apart from
            the row's other pages is copied to them (`copies`) instead of being shared.
        pass_sizes: tokens of passes that cost no more than they must (recorded ones: any other is
            padded up to the next). Empty: every pass reads up to `prefill_tokens`.
    """

    def __init__(
        self,
        pages: PageAllocator,
        max_rows: int,
        prefill_tokens: int,
        is_ready: Callable[[Row], bool] = lambda row: True,
        freed: Callable[[int], None] = lambda slot: None,
        *,
        in_one_piece: bool = False,
        pass_sizes: Sequence[int] = (),
    ) -> None:
        self.pages = pages
        self.max_rows = max_rows
        self.prefill_tokens = prefill_tokens
        self._pass_sizes = sorted(pass_sizes)
        self._budget = prefill_tokens
        """Prompt tokens of the pass that is being planned."""
        self.waiting: list[Row] = []
        """By arrival. A row that was put back is among them and keeps its slot."""
        self.running: list[Row] = []
        """By arrival: rows that hold pages."""
        self.entered: list[Row] = []
        """Rows that left the queue for the first time; whoever tells of it empties this."""
        self.copies: list[tuple[list[int], list[int]]] = []
        """Pages (from, to) to be copied in this order before the plan's pass, by who runs it."""
        self.preemptions = 0
        self.prefix_query_tokens = 0
        self.prefix_hit_tokens = 0
        self._is_ready = is_ready
        self._freed = freed
        self._in_one_piece = in_one_piece
        self._filling: set[int] = set()
        """Pages that the pass now being planned is going to complete."""
        self._free_slots = list(range(max_rows - 1, -1, -1))
        self._retired: list[Row] = []
        """Ended, but a pass under way still uses their slots."""
        self._answer_tokens = float(_FIRST_GUESS_TOKENS)
        """Moving average of how long answers were."""

    # -- what the engine asks -----------------------------------------------------------------

    def add(self, row: Row) -> None:
        """Let a new row wait for its turn."""
        self.waiting.append(row)

    @property
    def rows(self) -> list[Row]:
        """All rows that are not done."""
        return self.running + self.waiting

    @property
    def cached_tokens(self) -> int:
        """Tokens of running rows in the pool."""
        return sum(row.cached for row in self.running)

    def plan(self) -> Plan:
        """Choose the shares of the next pass and book them as done."""
        plan = Plan()
        self._filling.clear()
        writers = [row for row in self.running if row.left == 1 and row.wants_pass]
        for row in writers:
            if row.pages and self._grow(row):  # an older one may just have put it back
                self._book(plan, row, 1)
        self._budget = budget = self._budget_beside(len(plan.shares))
        entered = True
        while entered and budget > 0:
            # Again for rows that waited for pages which this very pass is going to fill: in each
            # layer all keys and values of a pass are stored before any of its tokens looks at them.
            entered = self._admit(budget)
            for row, bite in self._bites(plan, budget):
                self._book(plan, row, bite)
                budget -= bite
        return plan

    def _budget_beside(self, writers: int) -> int:
        """Prompt tokens of a pass that so many rows write in.

        The pass fills one of its sizes together with its writers. The more is waiting to be read,
        the larger: few large passes read most tokens a second, many small ones keep the writers
        going for next to nothing, since a pass reads all weights anyway.
        """
        if not self._pass_sizes:
            return self.prefill_tokens
        largest = min(self._pass_sizes[-1], self.prefill_tokens)
        backlog = 0
        for row in chain(self.running, self.waiting):
            backlog += row.left if row.left > 1 else 0
            if backlog >= largest * _PASSES_A_BACKLOG:
                break
        wanted = max(backlog // _PASSES_A_BACKLOG, 2 * writers)
        size = next((n for n in self._pass_sizes if n >= wanted), self._pass_sizes[-1])
        return max(1, min(self.prefill_tokens, size - writers))

    def landed(self, plan: Iterable[Share]) -> None:
        """The host has read a pass's results: slots of rows that have ended are free again."""
        for share in plan:
            share.row.flights -= 1
        landed = [row for row in self._retired if not row.flights]
        self._retired = [row for row in self._retired if row.flights]
        for row in landed:
            self._free(row.slot)

    def take_token(self, row: Row, token: int) -> None:
        """A token that was ahead is known."""
        row.tokens.append(token)
        row.ahead -= 1
        self._remember(row)

    def finish(self, row: Row) -> None:
        """End a row, wherever it is; harmless when it has ended."""
        if row.done:
            return
        row.done = True
        if row.pages:
            self._remember(row)
            self.running.remove(row)
            self._give_back(row)
        else:
            self.waiting.remove(row)
        if row.writes and row.produced:
            self._answer_tokens += (row.produced - self._answer_tokens) / 16
        if row.slot >= 0 and row.flights:
            self._retired.append(row)
        elif row.slot >= 0:
            self._free(row.slot)

    def reset(self) -> list[Row]:
        """Forget all rows that have begun, and every page; returns those rows."""
        begun = [row for row in self.rows if row.slot >= 0]
        for row in begun:
            row.done = True
        self.waiting = [row for row in self.waiting if row.slot < 0]
        self.running, self._retired, self.entered, self.copies = [], [], [], []
        self._free_slots = list(range(self.max_rows - 1, -1, -1))
        self.pages.clear()
        return begun

    # -- writing ------------------------------------------------------------------------------

    def _grow(self, row: Row) -> bool:
        """Have a place for the row's next token; False when the row itself had to be put back."""
        while len(row.pages) * self.pages.page_size <= row.cached:
            if not self.pages.available and not self._make_room(row):
                return False
            wanted = min(_GROWTH_PAGES, self._pages_for(row.limit) - len(row.pages))
            count = max(1, min(wanted, self.pages.available))
            row.pages += self.pages.take(count, row.pages[-1])
        return True

    def _make_room(self, row: Row) -> bool:
        """At least one page: from somebody's reserve, else from the youngest row."""
        for other in reversed(self.running):
            self._trim(other)
            if self.pages.available:
                return True
        while not self.pages.available:
            youngest = self.running[-1]
            self._put_back(youngest)
            if youngest is row:
                return False
        return True

    def _trim(self, row: Row) -> None:
        """Give back the pages that a row has no tokens for yet."""
        needed = max(1, self._pages_for(max(row.cached, len(row.tokens))))
        spare = row.pages[needed:]
        if spare:
            del row.pages[needed:]
            row.tabled = min(row.tabled, needed)
            self.pages.release(spare)

    def _put_back(self, row: Row) -> None:
        """Take a row's pages; it is read again when there is room, what it produced included."""
        self._remember(row)
        self.running.remove(row)
        self._give_back(row)
        row.cached = row.remembered = 0
        insort(self.waiting, row, key=_by_arrival)
        self.preemptions += 1

    def _give_back(self, row: Row) -> None:
        self.pages.release(row.pages)
        row.pages, row.tabled = [], 0

    def _free(self, slot: int) -> None:
        self._free_slots.append(slot)
        self._freed(slot)

    # -- entering -----------------------------------------------------------------------------

    def _admit(self, budget: int) -> bool:
        """Let rows enter by arrival while the budget has something for them; whether one did."""
        demand = sum(self._appetite(row) for row in self.running if row.wants_pass)
        promised = {digest for row in self.running for digest in self._unread_digests(row)}
        entered = []
        for row in self.waiting:
            if demand >= budget or not (row.slot >= 0 or self._free_slots):
                break
            if row.ahead or not self._is_ready(row) or self._better_waits(row, promised):
                continue
            if not self._enter(row):
                break
            entered.append(row)
            demand += self._appetite(row)
            promised.update(self._unread_digests(row))
        for row in entered:
            self.waiting.remove(row)
        return bool(entered)

    def _appetite(self, row: Row) -> int:
        """What a reading row takes of a pass at most while others want something too."""
        return min(row.left, max(1, self._budget // 2)) if row.left > 1 else 0

    def _enter(self, row: Row) -> bool:
        """Take pages for a row, the known ones first."""
        hits = self._known_pages(row)
        needed = self._pages_for(row.length + 1 if row.writes else row.length) - len(hits)
        reserve = self._pages_for(self._expected(row)) - len(hits)
        room = self.pages.available - self.pages.unheld_among(hits)
        if room < (reserve if self.running else needed):
            return False
        row.pages = self._placed(hits, min(reserve, room))
        row.cached, row.remembered = len(hits) * self.pages.page_size, len(hits)
        if row.slot < 0:
            row.slot = self._free_slots.pop()
            row.admitted_at = time.monotonic()
            row.prefix_hit_tokens = row.cached
            self.entered.append(row)
            self.prefix_query_tokens += row.prompt_tokens
            self.prefix_hit_tokens += row.cached
        insort(self.running, row, key=_by_arrival)
        return True

    def _placed(self, hits: list[int], count: int) -> list[int]:
        """Known pages, held or copied, and `count` new ones."""
        self.pages.hold(hits)
        own = self.pages.take(count, hits[-1] if hits else None)
        shared = hits + own
        in_place = not self._in_one_piece or not hits or _is_run(shared)
        if in_place or len(hits) > self.pages.available or not self._filling.isdisjoint(hits):
            return shared
        self.pages.release(own)
        pages = self.pages.take(len(shared))
        self.copies.append((hits, pages[: len(hits)]))
        self.pages.release(hits)
        return pages

    def _known_pages(self, row: Row) -> list[int]:
        """Remembered pages of the row's beginning; its last token is always computed."""
        if row.reads_everything or not self.pages.remembers:
            return []
        return self.pages.known(self._full_digests(row))

    def _full_digests(self, row: Row) -> list[bytes]:
        return row.digests_up_to(
            (len(row.tokens) - 1) // self.pages.page_size, self.pages.page_size
        )

    def _unread_digests(self, row: Row) -> list[bytes]:
        """Pages that the row is going to read and remember."""
        if row.left <= 1 or not self.pages.remembers:
            return []
        return self._full_digests(row)[row.cached // self.pages.page_size :]

    def _better_waits(self, row: Row, promised: set[bytes]) -> bool:
        """Whether another row is just reading a good part of what this one lacks."""
        if not promised or row.reads_everything:
            return False
        digests = self._full_digests(row)
        lacking = digests[len(self.pages.known(digests)) :]
        shared = sum(1 for _ in takewhile(promised.__contains__, lacking))
        return shared * self.pages.page_size >= max(1, _WORTH_WAITING * row.length)

    def _expected(self, row: Row) -> int:
        """Tokens that a row will probably have in the end."""
        if not row.writes:
            return row.length
        return max(row.length + 1, min(row.limit, row.prompt_tokens + int(self._answer_tokens)))

    # -- reading ------------------------------------------------------------------------------

    def _bites(self, plan: Plan, budget: int) -> list[tuple[Row, int]]:
        """Parts of the budget: half of it is the oldest's for sure, then the shortest go first."""
        booked = {share.row for share in plan}
        readers = [row for row in self.running if row.wants_pass and row not in booked]
        if not readers:
            return []
        oldest, *others = readers
        queue = [(oldest, -(-budget // 2)), *((row, budget) for row in sorted(others, key=_left))]
        bites: dict[Row, int] = {}
        for row, most in [*queue, (oldest, budget)]:
            bite = min(row.left - bites.get(row, 0), most, budget)
            bites[row] = bites.get(row, 0) + bite
            budget -= bite
        return [(row, self._bite_limit(row, bite)) for row, bite in bites.items() if bite]

    @staticmethod
    def _bite_limit(row: Row, bite: int) -> int:
        scored = row.request.params.prompt_logprobs is not None
        return min(bite, _SCORED_BITE_TOKENS) if scored else bite

    # -- booking ------------------------------------------------------------------------------

    def _book(self, plan: Plan, row: Row, count: int) -> None:
        due = row.cached + count == row.length
        share = Share(row, row.cached, count, due)
        (plan.embeds if row.embeds else plan.shares).append(share)
        row.cached += count
        row.flights += 1
        if due and row.writes:
            row.ahead += 1
        self._filling.update(self._remember(row))

    def _remember(self, row: Row) -> list[int]:
        """Offer pages that are full of known tokens to later rows; returns these pages."""
        full = min(row.cached, len(row.tokens)) // self.pages.page_size
        if full <= row.remembered or not row.pages or not self.pages.remembers:
            return []
        digests = row.digests_up_to(full, self.pages.page_size)
        for i in range(row.remembered, full):
            self.pages.remember(row.pages[i], digests[i])
        first, row.remembered = row.remembered, full
        return row.pages[first:full]

    def _pages_for(self, tokens: int) -> int:
        return -(-tokens // self.pages.page_size)


def _is_run(pages: list[int]) -> bool:
    return pages[-1] - pages[0] + 1 == len(pages) and all(
        after - before == 1 for before, after in pairwise(pages)
    )


def _by_arrival(row: Row) -> int:
    return row.order


def _left(row: Row) -> int:
    return row.left
