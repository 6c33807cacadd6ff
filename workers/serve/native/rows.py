"""One answer in the making, as the scheduler sees it. No torch in here."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, field
from typing import Any

from workers.serve.engines.base import Request
from workers.serve.native.pages import next_digest

_orders = itertools.count()


@dataclass(eq=False, slots=True)
class Row:
    """A request and how far it is.

    A row has known tokens (its prompt and what it produced), of which the first `cached` have been
    put through the model; what is left is read in bites. Writing is the special case of one token
    left. A pass that is under way counts as done: its token is `ahead` until the host has read it.
    """

    request: Request
    limit: int
    """Prompt and answer together end here."""
    root: bytes
    """Digest in front of the first page: rows of another root never share pages."""
    tokens: list[int] = field(init=False)
    prompt_tokens: int = field(init=False)
    embeds: bool = field(init=False)
    """Whether an embedding is wanted instead of an answer."""
    writes: bool = field(init=False)
    """Whether the row makes tokens at all."""
    order: int = field(default_factory=lambda: next(_orders))
    """Rank by arrival: the oldest goes first and is never put back."""
    arrived_at: float = field(default_factory=time.monotonic)
    admitted_at: float | None = None
    cached: int = 0
    ahead: int = 0
    """Tokens that launched passes make and the host does not know yet."""
    flights: int = 0
    """Launched passes with this row whose results the host has not read."""
    pages: list[int] = field(default_factory=list)
    tabled: int = 0
    """Pages that stand in the packer's table already."""
    digests: list[bytes] = field(default_factory=list)
    """Of the full pages of `tokens`, as far as they were needed."""
    remembered: int = 0
    """Pages that were offered to the prefix cache."""
    prefix_hit_tokens: int = 0
    """Of the prompt, found in the prefix cache at the first admission."""
    slot: int = -1
    """Place in the sampler and in the last tokens on the device, from admission to the end."""
    adapter_index: int = 0
    done: bool = False
    told: bool = False
    """Whether its first event is out."""
    grammar: Any = None
    """State of what the answer must obey."""
    gathered: list[Any] = field(default_factory=list)
    """What bites of the prompt gave: its tokens' scores, or parts of the embedding."""

    def __post_init__(self) -> None:
        self.tokens = list(self.request.prompt)
        self.prompt_tokens = len(self.tokens)
        self.embeds = self.request.params.embed
        self.writes = self.request.params.max_new_tokens > 0 and not self.embeds

    @property
    def id(self) -> int:
        """The request's."""
        return self.request.id

    @property
    def length(self) -> int:
        """Tokens there are, those ahead included."""
        return len(self.tokens) + self.ahead

    @property
    def left(self) -> int:
        """Tokens that have not been put through the model."""
        return self.length - self.cached

    @property
    def produced(self) -> int:
        """Tokens of the answer that the host knows."""
        return len(self.tokens) - self.prompt_tokens

    @property
    def reads_everything(self) -> bool:
        """Whether each token of the prompt must go through the model, known beginning or not."""
        return self.embeds or self.request.params.prompt_logprobs is not None

    @property
    def wants_pass(self) -> bool:
        """Whether there is something to compute that is not under way already."""
        return not self.done and self.left > 0 and (self.length < self.limit or not self.writes)

    def digests_up_to(self, pages: int, page_size: int) -> list[bytes]:
        """Digests of the first `pages` pages, which must be full of known tokens."""
        while len(self.digests) < pages:
            start = len(self.digests) * page_size
            before = self.digests[-1] if self.digests else self.root
            self.digests.append(next_digest(before, self.tokens[start : start + page_size]))
        return self.digests[:pages]
