"""What a pass consists of. No torch in here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from workers.serve.native.rows import Row


@dataclass(slots=True)
class Share:
    """What one row gets of a pass: tokens `start` to `start + count`."""

    row: Row
    start: int
    count: int
    due: bool
    """Whether the bite reaches the row's last token, so that its logits decide the next one."""


@dataclass(slots=True)
class Plan:
    """One pass. Rows that want an embedding go through the model apart from the others."""

    shares: list[Share] = field(default_factory=list)
    embeds: list[Share] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.shares or self.embeds)

    def __iter__(self) -> Iterator[Share]:
        yield from self.shares
        yield from self.embeds
