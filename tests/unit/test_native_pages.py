"""No page of the key-value cache is ever lost, held twice by accident or shared half full."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from workers.serve.native.constants import SCRATCH_PAGE
from workers.serve.native.pages import OutOfPages, PageAllocator, next_digest, root_digest

PAGES = 24


class Holders(RuleBasedStateMachine):
    """Rows that take, share, remember and release pages in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.pages = PageAllocator(PAGES, 4)
        self.rows: list[list[int]] = []
        self.contents: dict[bytes, int] = {}
        self.made = 0

    @rule(count=st.integers(0, 8), follow=st.booleans())
    def take(self, count: int, follow: bool) -> None:
        after = self.rows[-1][-1] if follow and self.rows and self.rows[-1] else None
        available = self.pages.available
        if count > available:
            with pytest.raises(OutOfPages):
                self.pages.take(count, after)
            assert self.pages.available == available
        else:
            self.rows.append(self.pages.take(count, after))
            assert self.pages.available == available - count

    @precondition(lambda self: self.rows)
    @rule(data=st.data())
    def remember(self, data: st.DataObject) -> None:
        row = data.draw(st.sampled_from(self.rows))
        digest = root_digest("beginning", self.made)
        self.made += 1
        for page in row:
            digest = next_digest(digest, [page])
            self.pages.remember(page, digest)
            self.contents[digest] = page

    @precondition(lambda self: self.contents)
    @rule(data=st.data())
    def share(self, data: st.DataObject) -> None:
        digest = data.draw(st.sampled_from(sorted(self.contents)))
        found = self.pages.known([digest])
        assert found in ([], [self.contents[digest]])
        self.pages.hold(found)
        self.rows.append(found)

    @precondition(lambda self: self.rows)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        self.pages.release(self.rows.pop(data.draw(st.integers(0, len(self.rows) - 1))))

    @rule()
    def clear(self) -> None:
        self.rows.clear()
        self.contents.clear()
        self.pages.clear()

    @invariant()
    def every_page_is_held_or_available(self) -> None:
        held = {page for row in self.rows for page in row}
        assert SCRATCH_PAGE not in held
        assert held <= set(range(PAGES))
        assert self.pages.held == len(held)
        assert self.pages.available == PAGES - 1 - len(held)

    @invariant()
    def a_page_taken_is_nobody_elses(self) -> None:
        shareable = set(self.contents.values())
        private = [page for row in self.rows for page in row if page not in shareable]
        assert len(private) == len(set(private))

    def teardown(self) -> None:
        for row in self.rows:
            self.pages.release(row)
        assert self.pages.available == PAGES - 1
        assert len(self.pages.take(PAGES - 1)) == PAGES - 1


TestHolders = Holders.TestCase
TestHolders.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.data())
@settings(deadline=None)
def test_two_prompts_share_exactly_the_full_pages_they_begin_with(
    first: list[int], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(first)))
    second = first[:cut] + data.draw(st.lists(st.integers(4, 7), max_size=20))
    pages = PageAllocator(64, 4)
    digests = digests_of(first)
    row = pages.take(len(digests))
    for page, digest in zip(row, digests, strict=True):
        pages.remember(page, digest)
    common = min(cut, len(second)) // 4
    assert pages.known(digests_of(second)) == row[:common]


def test_the_same_tokens_under_another_root_are_another_content() -> None:
    pages = PageAllocator(8, 4)
    (page,) = pages.take(1)
    pages.remember(page, next_digest(root_digest("model", None, "key one"), [1, 2, 3, 4]))
    assert pages.known([next_digest(root_digest("model", None, "key one"), [1, 2, 3, 4])])
    assert not pages.known([next_digest(root_digest("model", None, "key two"), [1, 2, 3, 4])])
    assert not pages.known([next_digest(root_digest("model", "tuned", "key one"), [1, 2, 3, 4])])


def test_the_longest_unused_end_of_a_beginning_is_forgotten_first() -> None:
    pages = PageAllocator(5, 4)
    digests = digests_of(list(range(16)))
    row = pages.take(4)
    for page, digest in zip(row, digests, strict=True):
        pages.remember(page, digest)
    pages.release(row)
    pages.take(1)
    assert pages.known(digests) == row[:3]
    pages.hold(row[:1])  # in use: not forgettable, whatever is asked
    with pytest.raises(OutOfPages):
        pages.take(3)
    pages.take(2)
    assert pages.known(digests) == row[:1]


def test_pages_come_in_one_run_where_one_is_long_enough() -> None:
    pages = PageAllocator(33)
    first, second, third = pages.take(4), pages.take(4), pages.take(8)
    assert [first, second] == [[1, 2, 3, 4], [5, 6, 7, 8]]
    pages.release(second)
    assert pages.take(6) == list(range(17, 23)), "the gap of four is too small"
    assert pages.take(3) == [5, 6, 7], "the smallest gap that is large enough"
    assert pages.take(2, after=third[-1]) == [23, 24], "page 17 is held"
    assert pages.take(9) == [*range(25, 33), 8], "no run is long enough: the longest, then the rest"


def test_a_row_grows_behind_its_last_page_while_that_is_free() -> None:
    pages = PageAllocator(33)
    row = pages.take(3)
    assert pages.take(2, after=row[-1]) == [4, 5]


def test_nothing_is_remembered_when_that_is_switched_off() -> None:
    pages = PageAllocator(8, 4, remembers=False)
    (page,) = pages.take(1)
    digest = next_digest(root_digest(), [1, 2, 3, 4])
    pages.remember(page, digest)
    assert pages.known([digest]) == []


def digests_of(tokens: list[int]) -> list[bytes]:
    digests, digest = [], root_digest("model")
    for start in range(0, len(tokens) // 4 * 4, 4):
        digest = next_digest(digest, tokens[start : start + 4])
        digests.append(digest)
    return digests
