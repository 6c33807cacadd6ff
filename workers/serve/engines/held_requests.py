"""Requests whose answers must obey a grammar, kept back until it is compiled on another thread."""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

from workers.serve.engines.base import EngineError, Request
from workers.serve.engines.loading import LoadedModel
from workers.serve.native.sampling.grammar import Grammars, RowGrammar


class HeldRequests:
    """Compiles for one model. The tokenizer is read when the first grammar comes."""

    possible = find_spec("llguidance") is not None
    """Whether this installation can hold answers to a form at all."""

    def __init__(self, model: Path, loaded: LoadedModel) -> None:
        self._model, self._loaded = model, loaded
        self._grammars: Grammars | None = None
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="grammar")
        self._held: dict[int, tuple[Request, Future[RowGrammar]]] = {}

    def __bool__(self) -> bool:
        return bool(self._held)

    def hold(self, request: Request) -> bool:
        """Whether the request has a grammar; it then comes back with `ready`."""
        if request.params.grammar is None:
            return False
        compiled = self._pool.submit(self._compile, request.params.grammar)
        self._held[request.id] = request, compiled
        return True

    def ready(self) -> list[tuple[Request, RowGrammar | EngineError]]:
        """Requests that need not wait any longer, and what became of their grammars."""
        done = [n for n, (_, compiled) in self._held.items() if compiled.done()]
        return [_outcome(*self._held.pop(number)) for number in done]

    def cancel(self, ids: Collection[int]) -> None:
        """Drop requests; others are harmless."""
        for number in ids:
            self._held.pop(number, None)

    def close(self) -> None:
        """End the thread."""
        self._held.clear()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _compile(self, text: str) -> RowGrammar:
        if self._grammars is None:
            loaded = self._loaded
            self._grammars = Grammars.load(self._model, loaded.vocab_size, loaded.eos_token_ids)
        return self._grammars.compile_now(text)


def _outcome(
    request: Request, compiled: Future[RowGrammar]
) -> tuple[Request, RowGrammar | EngineError]:
    try:
        return request, compiled.result()
    except Exception as e:  # noqa: BLE001 - whatever it was, it is this request's alone
        return request, EngineError(f"the answer cannot be held to a form: {e}")
