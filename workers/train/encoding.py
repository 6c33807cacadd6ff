"""From samples to token ids, each with a flag whether it is trained.

Which tokens are trained is known from where they come from, never from their id: a padding token
that is also the end token would otherwise untrain the end of every answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from core.datasets import Sample
from workers.train import findings
from workers.train.chat import ChatRenderer, Row, thinks, without_thoughts

if TYPE_CHECKING:
    from core.config.preview import PreviewSpec
    from core.config.train import TrainSpec


_END_TOKENS = 3
"""Some templates put a newline behind the end token."""


@dataclass(frozen=True)
class Encoded:
    """One row of tokens: a sample, or several documents that do not see each other."""

    ids: NDArray[np.int32]
    trained: NDArray[np.bool_]
    """Same shape."""
    starts: tuple[int, ...] = (0,)
    """Where its documents begin, the first at 0."""
    samples: tuple[int, ...] = (-1,)
    """Training sample number of each document; filled by `Rows`."""

    @property
    def targets(self) -> NDArray[np.bool_]:
        """Tokens that receive loss: the trained ones, without the first of each document, which
        follows nothing.
        """
        wanted = self.trained.copy()
        if len(wanted):
            wanted[list(self.starts)] = False
        return wanted

    @property
    def target_tokens(self) -> int:
        """Positions that receive loss."""
        return int(self.targets.sum())

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Reading:
    """How a run reads its data: the fields of `TrainSpec` of the same names."""

    stage: Literal["sft", "pretrain"] = "sft"
    assistant_only_loss: bool = True
    thinking: Literal["keep", "strip"] = "keep"

    @classmethod
    def of(cls, spec: TrainSpec | PreviewSpec) -> Reading:
        """As a spec says."""
        return cls(spec.stage, spec.assistant_only_loss, spec.thinking)


@dataclass(frozen=True)
class Read:
    """One row of a sample, and what is remarkable about it."""

    row: Encoded
    """Cut to the limit. It may have no target left: then it is dropped."""
    whole_tokens: int
    """Before the cut."""
    codes: tuple[str, ...]
    """Of `workers.train.findings`."""


class Encoder:
    """Encodes samples as serving would show them to the model.

    Chat text is rendered first and then encoded without special tokens: the template has put its
    BOS there already. Plain text gets what the tokenizer adds by itself, and an end token.
    """

    def __init__(
        self, tokenizer: Any, max_length_tokens: int, reading: Reading | None = None
    ) -> None:
        self._tokenizer = tokenizer
        self.max_length_tokens = max_length_tokens
        self.reading = reading or Reading()
        self._chat = ChatRenderer(tokenizer)
        self._joins = _pieces_join(tokenizer)
        self._ends = {int(i) for i in tokenizer.all_special_ids} | {tokenizer.eos_token_id}
        self._restores: bool | None = None
        self.met_chat = False
        """Some sample was a conversation."""

    @property
    def uses_fallback(self) -> bool:
        """The model has no chat template of its own."""
        return self._chat.is_fallback

    def encode(self, sample: Sample) -> list[Encoded]:
        """The rows of one sample, cut to the limit."""
        return [read.row for read in self.read(sample)]

    def read(self, sample: Sample) -> list[Read]:
        """The rows of one sample, each with what was found."""
        return [self._judged(row, said) for row, said in self._whole(sample)]

    def documents(self, sample: Sample) -> list[tuple[Encoded, tuple[str, ...]]]:
        """The rows of one sample, whole and each with an end token: for pre-training."""
        return [(self._ended(row), (*codes, *self._bos(row))) for row, codes in self._whole(sample)]

    def _whole(self, sample: Sample) -> list[tuple[Encoded, tuple[str, ...]]]:
        if not sample.messages:
            return [(self._plain(sample.text), ())]
        self.met_chat = True
        messages, codes = sample.messages, self._about_chat(sample)
        if self.reading.thinking == "strip":
            messages = without_thoughts(messages)
        everything = self.reading.stage == "pretrain" or not self.reading.assistant_only_loss
        rows = self._chat.rows(messages, everything=everything)
        return [(self._by_pieces(row), codes) for row in rows]

    def _about_chat(self, sample: Sample) -> tuple[str, ...]:
        codes = (findings.TEMPLATE_FALLBACK,) if self._chat.is_fallback else ()
        if not thinks(sample.messages):
            return codes
        if self.reading.thinking == "strip":
            return (*codes, findings.THOUGHTS_STRIPPED)
        if self._restores is None:
            self._restores = self._chat.hides_thoughts()
        return (*codes, findings.THOUGHTS_RESTORED) if self._restores else codes

    def _judged(self, whole: Encoded, said: tuple[str, ...]) -> Read:
        limit = self.max_length_tokens
        row = Encoded(whole.ids[:limit], whole.trained[:limit])
        codes = [*said, *self._bos(whole)]
        if len(whole) > limit:
            codes.append(findings.CUT)
        if not row.target_tokens:
            codes.append(findings.NOTHING_TRAINED)
        elif whole.trained[-1] and not self._ends & set(whole.ids[-_END_TOKENS:].tolist()):
            codes.append(findings.END_TOKEN_MISSING)
        return Read(row, len(whole), tuple(codes))

    def _bos(self, row: Encoded) -> tuple[str, ...]:
        bos = self._tokenizer.bos_token_id
        double = bos is not None and row.ids[:2].tolist() == [bos, bos]
        return (findings.DOUBLE_BOS,) if double else ()

    def prompt_ids(self, prompt: str) -> list[int]:
        """A user's question as the model sees it when it is to answer."""
        from core.datasets import Message

        text = self._chat.render((Message("user", prompt),), ask=True)
        return self._ids(text)

    def _plain(self, text: str) -> Encoded:
        ids = list(self._tokenizer.encode(text))
        return self._ended(_row(ids, [True] * len(ids)))

    def _ended(self, row: Encoded) -> Encoded:
        eos = self._tokenizer.eos_token_id
        if eos is None or (len(row) and row.ids[-1] == eos):
            return row
        return _row([*row.ids.tolist(), eos], [*row.trained.tolist(), True])

    def _by_pieces(self, row: Row) -> Encoded:
        if not self._joins:
            return self._by_offsets(row)
        ids: list[int] = []
        trained: list[bool] = []
        for text, is_trained in _merged(row):
            new = self._ids(text)
            ids += new
            trained += [is_trained] * len(new)
        return _row(ids, trained)

    def _by_offsets(self, row: Row) -> Encoded:
        """For tokenizers that mark a word's start on the first token (SentencePiece's way).

        A token that begins with the prompt's last space belongs to the word it begins.
        """
        text = "".join(piece.text for piece in row)
        found = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        spans, at = [], 0
        for piece in row:
            if piece.trained:
                spans.append((at, at + len(piece.text)))
            at += len(piece.text)
        trained = [
            any(start < b and a < end for a, b in spans) for start, end in found["offset_mapping"]
        ]
        return _row(list(found["input_ids"]), trained)

    def _ids(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False))


def _merged(row: Row) -> Iterator[tuple[str, bool]]:
    """Neighbors that are trained alike are encoded as one text, as they will be read."""
    said = (piece for piece in row if piece.text)
    for trained, pieces in groupby(said, key=lambda piece: piece.trained):
        yield "".join(piece.text for piece in pieces), trained


def _row(ids: list[int], trained: list[bool]) -> Encoded:
    return Encoded(np.asarray(ids, np.int32), np.asarray(trained, np.bool_))


def _pieces_join(tokenizer: Any) -> bool:
    """Whether encoding two pieces apart gives what encoding them together would read as."""
    if not tokenizer.is_fast:
        return True
    first, second = "ab: ", "cd ef"
    ids = [*tokenizer.encode(first, add_special_tokens=False)]
    ids += tokenizer.encode(second, add_special_tokens=False)
    return str(tokenizer.decode(ids)) == first + second
