"""Rows whose answers must obey a grammar: compiling, masks for the sampler, going on by a token."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import torch

from workers.serve.native.plan import Share
from workers.serve.native.rows import Row
from workers.serve.native.sampling.grammar import GrammarError, Grammars, RowGrammar
from workers.serve.native.sampling.penalties import to_device

log = logging.getLogger(__name__)


class Obedience:
    """Grammars of rows, by rows.

    Args:
        grammars: of the model's tokenizer; None when there are none.
        device: where masks go.
    """

    def __init__(self, grammars: Grammars | None, device: torch.device) -> None:
        self._grammars, self._device = grammars, device
        self._compiling: dict[Row, Future[RowGrammar]] = {}

    @classmethod
    def load(
        cls, model: Path, vocab_size: int, eos_token_ids: frozenset[int], device: torch.device
    ) -> Obedience:
        """For a model folder; without a usable tokenizer no grammar can be obeyed."""
        try:
            grammars = Grammars.load(model, vocab_size, eos_token_ids) if eos_token_ids else None
        except Exception as e:  # noqa: BLE001 - everything else works without
            log.warning("answers cannot be held to a form: %s", e)
            grammars = None
        return cls(grammars, device)

    @property
    def possible(self) -> bool:
        """Whether requests may bring a grammar."""
        return self._grammars is not None

    def begin(self, row: Row) -> None:
        """Compile what a new row wants, on another thread."""
        if row.request.params.grammar is not None and self._grammars is not None:
            self._compiling[row] = self._grammars.compile(row.request.params.grammar)

    def is_ready(self, row: Row) -> bool:
        """Whether nothing of the row is being compiled."""
        return row not in self._compiling

    def settle(self) -> list[tuple[Row, Exception]]:
        """Take what has been compiled; returns rows whose grammar is none."""
        failed: list[tuple[Row, Exception]] = []
        for row, future in [(r, f) for r, f in self._compiling.items() if f.done()]:
            del self._compiling[row]
            error = future.exception()
            if row.done:
                continue
            if error is None:
                row.grammar = future.result()
            else:
                failed.append((row, GrammarError(str(error))))
        return failed

    def masks(
        self, chosen: Sequence[Share]
    ) -> tuple[torch.Tensor | None, list[tuple[Row, Exception]]]:
        """Bits of the tokens that each row may be given, [rows, words], and rows that cannot go on.

        None when nobody obeys anything.
        """
        alive = [(i, s) for i, s in enumerate(chosen) if not s.row.done]
        bound = [(i, s.row) for i, s in alive if s.row.grammar is not None]
        if not bound or self._grammars is None:
            return None, []
        masks = np.full((len(chosen), self._grammars.words), -1, dtype=np.int32)
        failed: list[tuple[Row, Exception]] = []
        for i, row in bound:
            try:
                row.grammar.fill(masks, i)
            except GrammarError as e:
                masks[i] = -1
                failed.append((row, e))
        return to_device(torch.from_numpy(masks), self._device), failed

    def close(self) -> None:
        """End the compiling thread."""
        self._compiling.clear()
        if self._grammars is not None:
            self._grammars.close()
