"""The queue: trainings that wait for a card, and what is done when the last one ended."""

from core.queue.items import After, Queue, QueueItem
from core.queue.scheduler import QueueScheduler, QueueTick
from core.queue.store import QueueStore

__all__ = ["After", "Queue", "QueueItem", "QueueScheduler", "QueueStore", "QueueTick"]
