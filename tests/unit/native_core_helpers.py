"""Shared by the native engine's tests: a core that is stepped by hand."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from pathlib import Path

from core.config.serve import ServeSpec
from tests.tiny_models import VOCABULARY
from workers.serve.engines.base import (
    NO_TOKEN,
    EngineError,
    Request,
    SamplingParams,
    TokenEvent,
    is_start,
)
from workers.serve.native.engine import NativeCore


class Desk:
    """A loaded core, and all that it has said of each request."""

    def __init__(self, core: NativeCore) -> None:
        self.core = core
        self.events: dict[int, list[TokenEvent]] = {}
        self.errors: dict[int, str] = {}
        self.started: list[int] = []

    def ask(
        self, prompt: list[int], params: SamplingParams, adapter: str | None = None, key: str = ""
    ) -> int:
        number = len(self.events)
        self.events[number] = []
        self.core.add(self.request(number, prompt, params, adapter, key))
        return number

    def request(
        self,
        number: int,
        prompt: list[int],
        params: SamplingParams,
        adapter: str | None = None,
        key: str = "",
    ) -> Request:
        return Request(number, prompt, params, adapter, key)

    def step(self) -> None:
        for number, item in self.core.step():
            if isinstance(item, EngineError):
                self.errors[number] = str(item)
            elif is_start(item):
                self.started.append(number)
            else:
                self.events[number].append(item)

    def run(self, limit: int = 3000) -> None:
        while self.core.busy:
            self.step()
            limit -= 1
            assert limit, "no progress"

    def tokens(self, number: int) -> list[int]:
        return [event.token for event in self.events[number] if event.token != NO_TOKEN]

    def answers(self, numbers: list[int]) -> list[list[int]]:
        self.run()
        return [self.tokens(number) for number in numbers]


@contextlib.contextmanager
def desk(model: Path, **spec: object) -> Iterator[Desk]:
    """A core over a model folder, on the processor."""
    core = NativeCore()
    core.load(ServeSpec.parse({"model": str(model), "device": "cpu", **spec}), lambda *_: None)
    yield Desk(core)
    core.unload()


def ragged_prompts(count: int, longest: int = 40, seed: int = 7) -> list[list[int]]:
    draw = random.Random(seed)
    return [
        [draw.randrange(3, VOCABULARY) for _ in range(draw.randint(1, longest))]
        for _ in range(count)
    ]
