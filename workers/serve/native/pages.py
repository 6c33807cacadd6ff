"""Who owns which page of the pool, and which pages are remembered as the beginning of a prompt.

A page has one owner, or several that only read it: pages are shared when they are full, so nobody
ever writes into a page that another one can see and nothing is ever copied. A full page is known by
a digest of all tokens up to its end (and of what else decides its content); a page that nobody
holds any more stays known until its memory is needed, the longest unused first.
"""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from itertools import takewhile

from workers.serve.native.constants import PAGE_TOKENS, SCRATCH_PAGE


class OutOfPages(Exception):
    """More pages were asked for than are free or forgettable."""


def root_digest(*what_decides: object) -> bytes:
    """The digest before the first page: model revision, adapter, dtype, key namespace."""
    return _digest(repr(what_decides).encode())


def next_digest(before: bytes, tokens: Sequence[int]) -> bytes:
    """The digest of a full page of `tokens` behind the page (or root) of digest `before`."""
    return _digest(before + array("q", tokens).tobytes())


def _digest(content: bytes) -> bytes:
    # Strong on purpose: a collision that a client can make would show it another one's prompt.
    return hashlib.blake2b(content, digest_size=16).digest()


class PageAllocator:
    """Hands out pages, counts their holders, remembers full ones.

    Args:
        pages: of the pool, the scratch page included.
        page_size: tokens a page.
        remembers: whether full pages are kept for later prompts.
    """

    def __init__(self, pages: int, page_size: int = PAGE_TOKENS, *, remembers: bool = True) -> None:
        self.page_size = page_size
        self.remembers = remembers
        self.total = pages - 1
        """Pages that can be held: all but the scratch page."""
        self._holders: dict[int, int] = {}
        self._by_digest: dict[bytes, int] = {}
        self._digests: dict[int, bytes] = {}
        self._unheld: OrderedDict[int, None] = OrderedDict()
        """Known pages that nobody holds, the longest unused first."""
        self._free = _Runs(SCRATCH_PAGE + 1, self.total)

    @property
    def available(self) -> int:
        """Pages that `take` can give now."""
        return self._free.count + len(self._unheld)

    @property
    def held(self) -> int:
        """Pages that some row holds."""
        return self.total - self.available

    @property
    def remembered(self) -> int:
        """Pages known by their content, held or not."""
        return len(self._by_digest)

    def take(self, count: int, after: int | None = None) -> list[int]:
        """Pages for one holder, as few runs of consecutive ones as can be.

        Args:
            count: how many.
            after: a page that they should follow.

        Raises:
            OutOfPages: then nothing has changed.
        """
        if count > self.available:
            raise OutOfPages(f"{count} pages wanted, {self.available} available")
        while self._free.count < count:
            page, _ = self._unheld.popitem(last=False)
            self._forget(page)
            self._free.give(page, 1)
        taken = self._free.take(count, after)
        for page in taken:
            self._holders[page] = 1
        return taken

    def known(self, digests: Iterable[bytes]) -> list[int]:
        """The pages of the longest remembered beginning; they are not held by this."""
        found = (self._by_digest.get(digest) for digest in digests)
        return [page for page in takewhile(lambda page: page is not None, found) if page]

    def hold(self, pages: Iterable[int]) -> None:
        """One more holder for each of these known or held pages."""
        for page in pages:
            self._unheld.pop(page, None)
            self._holders[page] = self._holders.get(page, 0) + 1

    def unheld_among(self, pages: Iterable[int]) -> int:
        """How many of these pages would no longer be available once held."""
        return sum(page in self._unheld for page in pages)

    def remember(self, page: int, digest: bytes) -> None:
        """Make a full page findable; the first page of a content is the one that is found."""
        if not self.remembers or digest in self._by_digest or page in self._digests:
            return
        self._by_digest[digest] = page
        self._digests[page] = digest

    def release(self, pages: Sequence[int]) -> None:
        """Take one holder from each; the last pages of a beginning are forgotten first."""
        for page in reversed(pages):
            holders = self._holders[page] - 1
            if holders:
                self._holders[page] = holders
                continue
            del self._holders[page]
            if page in self._digests:
                self._unheld[page] = None
            else:
                self._free.give(page, 1)

    def clear(self) -> None:
        """Free and forget everything."""
        self._holders.clear()
        self._by_digest.clear()
        self._digests.clear()
        self._unheld.clear()
        self._free = _Runs(SCRATCH_PAGE + 1, self.total)

    def _forget(self, page: int) -> None:
        del self._by_digest[self._digests.pop(page)]


class _Runs:
    """Free pages as maximal runs of consecutive ones."""

    def __init__(self, first: int, count: int) -> None:
        self.count = 0
        self._length: dict[int, int] = {}
        """By first page."""
        self._first: dict[int, int] = {}
        """By last page."""
        self._sizes: list[tuple[int, int]] = []
        """(length, first), sorted."""
        if count:
            self._add(first, count)

    def give(self, first: int, length: int) -> None:
        """Take pages back, joined with what is free beside them."""
        before = self._first.get(first - 1)
        if before is not None:
            length += self._remove(before)
            first = before
        if first + length in self._length:
            length += self._remove(first + length)
        self._add(first, length)

    def take(self, count: int, after: int | None) -> list[int]:
        """`count` free pages: behind `after`, else from the smallest run that has them all."""
        taken: list[int] = []
        if after is not None and after + 1 in self._length:
            taken += self._cut(after + 1, count)
        while len(taken) < count:
            missing = count - len(taken)
            place = bisect_left(self._sizes, (missing, 0))
            _, first = self._sizes[min(place, len(self._sizes) - 1)]
            taken += self._cut(first, missing)
        return taken

    def _cut(self, first: int, wanted: int) -> list[int]:
        length = self._remove(first)
        got = min(length, wanted)
        if length > got:
            self._add(first + got, length - got)
        return list(range(first, first + got))

    def _add(self, first: int, length: int) -> None:
        self._length[first] = length
        self._first[first + length - 1] = first
        insort(self._sizes, (length, first))
        self.count += length

    def _remove(self, first: int) -> int:
        length = self._length.pop(first)
        del self._first[first + length - 1]
        del self._sizes[bisect_left(self._sizes, (length, first))]
        self.count -= length
        return length
