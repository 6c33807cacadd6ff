"""Engine cores without a model, for tests of the process around them: they count, or misbehave."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Collection
from pathlib import Path

from core.config.serve import ServeSpec
from core.errors import AppError, ErrorCode
from workers.serve.engines.base import (
    AdapterChange,
    EngineStats,
    ModelFacts,
    Output,
    Progress,
    Request,
    TokenEvent,
    started,
)

COUNTING = "tests.unit.engine_cores:CountingCore"
DIES, HANGS, PRINTS, RAISES, SLOW, STEADY = range(9000, 9006)
"""First tokens of prompts that make the core do so."""
LAST_WORDS = "the card has fallen off the bus"


class CountingCore:
    """Answers a prompt `[.., n]` with n + 1, n + 2 and so on, one token a step and row."""

    def load(self, spec: ServeSpec, progress: Progress) -> ModelFacts:
        progress("loading_model", 0.5, spec.model)
        if spec.model == "refused":
            raise AppError(ErrorCode.MODEL_LOAD_FAILED, model="refused", detail="no such luck")
        if spec.model == "dies" or (Path(spec.model).is_file() and _lives_left(spec.model) <= 0):
            print(LAST_WORDS, file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        self._rows: dict[int, tuple[Request, int]] = {}
        self._steps = 0
        self._places = spec.max_batch_size or 4
        self._waiting: list[Request] = []
        self._facts = ModelFacts(
            engine="counting",
            device="cpu",
            dtype="fp32",
            vocab_size=10_000,
            max_context_tokens=100_000,
            eos_token_ids=frozenset({2}),
            adapters=(None,),
            max_batch_size=self._places,
        )
        return self._facts

    @property
    def busy(self) -> bool:
        return bool(self._rows or self._waiting)

    def add(self, request: Request) -> None:
        if request.params.grammar == "impossible":
            raise ValueError("this grammar allows nothing")
        self._waiting.append(request)

    def cancel(self, ids: Collection[int]) -> None:
        self._waiting = [r for r in self._waiting if r.id not in ids]
        for number in ids:
            self._rows.pop(number, None)

    def step(self) -> list[Output]:
        self._steps += 1
        found: list[Output] = []
        while self._waiting and len(self._rows) < self._places:
            request = self._waiting.pop(0)
            self._rows[request.id] = request, 0
            found.append((request.id, started(0.0)))
        for number, (request, made) in list(self._rows.items()):
            _misbehave(request.prompt[0])
            last = made + 1 >= request.params.max_new_tokens
            token = request.prompt[-1] + made + 1
            found.append((number, TokenEvent(token, "length" if last else None)))
            self._rows[number] = request, made + 1
            if last:
                del self._rows[number]
        return found

    def stats(self) -> EngineStats:
        return EngineStats(
            running=len(self._rows), queued=len(self._waiting), steps=self._steps, memory_gib=1.5
        )

    def change_adapters(self, change: AdapterChange) -> ModelFacts:
        for name, folder in change.load:
            if folder == "wrong":
                raise AppError(ErrorCode.ADAPTER_MISMATCH, path=name, detail="too wide")
        assert not [r for r, _ in self._rows.values() if r.adapter in change.unload]
        names = [a for a in self._facts.adapters if a not in change.unload]
        adapters = (*names, *(name for name, _ in change.load))
        self._facts = ModelFacts(**{**self._facts.__dict__, "adapters": adapters})
        return self._facts

    def unload(self) -> None:
        self._rows = {}


def _misbehave(token: int) -> None:
    match token:
        case 9000:
            print(LAST_WORDS, file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        case 9001:
            time.sleep(3600)
        case 9002:
            print("a library that prints", flush=True)
            os.write(1, b"and one that writes past Python\n")
        case 9003:
            raise MemoryError("no room")
        case 9004:
            time.sleep(0.05)
        case 9005:
            time.sleep(0.002)


def _lives_left(path: str) -> int:
    with Path(path).open("r+", encoding="utf-8") as f:
        left = int(f.read())
        f.seek(0)
        f.truncate()
        f.write(str(left - 1))
    return left
