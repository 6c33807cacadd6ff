"""What stands in the queue file."""

from __future__ import annotations

import uuid
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from core.errors import ErrorInfo

After = Literal["nothing", "sleep", "shut_down"]
ItemState = Literal["waiting", "started", "ended", "failed"]


def _new_id() -> str:
    return uuid.uuid4().hex[:8]


class QueueItem(BaseModel):
    """One training, or one server, that waits, or what became of it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    item_id: str = Field(default_factory=_new_id)
    name: str = ""
    job: str = "train"
    """"train" or "serve"."""
    spec: dict[str, Any] = {}
    """Values of a `TrainSpec` or `ServeSpec`, absolute paths; empty when `resume` is named."""
    alone: bool = False
    """A training that waits also until no server is on its card."""
    needed_gib: float | None = None
    """What a training takes on its card, as forecast when it was added; None where not known."""
    resume: str = ""
    """A run that goes on from its checkpoint instead of a new one."""
    added_utc: float = 0.0
    state: ItemState = "waiting"
    run_id: str = ""
    """Of the run that was started for it."""
    device: str = ""
    """Where it was started: "cuda:1", "cpu"."""
    error: ErrorInfo | None = None
    """Why it could not be started; the queue goes on with the next."""


class Queue(BaseModel):
    """The whole file."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    v: int = 1
    items: tuple[QueueItem, ...] = ()
    """In the order in which they are to run; ended ones stay until they are cleared."""
    held: bool = False
    """Nothing new is started while it is."""
    after: After = "nothing"

    @property
    def waiting(self) -> tuple[QueueItem, ...]:
        """Those that were not started yet, first come first."""
        return tuple(i for i in self.items if i.state == "waiting")

    def with_item(self, item: QueueItem) -> Queue:
        """The queue with `item` in the place of the one of the same id, or behind all."""
        known = any(i.item_id == item.item_id for i in self.items)
        items = [item if i.item_id == item.item_id else i for i in self.items]
        return self.model_copy(update={"items": tuple(items if known else [*items, item])})

    def without(self, item_id: str) -> Queue:
        """The queue without one item."""
        return self.model_copy(
            update={"items": tuple(i for i in self.items if i.item_id != item_id)}
        )

    def moved(self, item_id: str, places: int) -> Queue:
        """The queue with a waiting item moved up (negative) or down among those that wait."""
        order = [i.item_id for i in self.waiting]
        if item_id not in order:
            return self
        at = order.index(item_id)
        order.insert(max(0, at + places), order.pop(at))
        by_id = {i.item_id: i for i in self.items}
        rest = [i for i in self.items if i.state != "waiting"]
        return self.model_copy(update={"items": (*rest, *(by_id[i] for i in order))})
