"""Text to tokens and back, from any thread, without what a tokenizer's wrapper costs a call.

A byte-level vocabulary (Llama 3, Qwen, every DeepSeek) is read token by token: each stands for the
same bytes wherever it is, so an answer is their sum, and UTF-8 alone says where a character ends.
Other vocabularies (SentencePiece) are decoded a few tokens at a time.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from workers.serve.text.detokenizer import Detokenizer

_LOOKS_LIKE_CONTROL = re.compile(r"[<\[|].*[>\]|]", re.DOTALL)
"""Added tokens that templates build turns of; runs of spaces and words are not among them."""


_BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")


class TextStream(Protocol):
    """Tokens in, certain text out."""

    def add(self, token: int) -> str:
        """The text that is certain with this token; may be empty."""

    def finish(self) -> str:
        """What was held back, without the torn rest of a character."""


class ByteStream:
    """An answer of a byte-level vocabulary."""

    def __init__(self, codec: Codec, kept: frozenset[int] = frozenset()) -> None:
        self._codec = codec
        self._kept = kept
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode

    def add(self, token: int) -> str:
        """The text that is certain with this token; may be empty."""
        if token in self._codec.special_ids and token not in self._kept:
            return ""
        return self._decode(self._codec.token_bytes(token))

    def finish(self) -> str:
        """Nothing: what is left of a torn character is no text."""
        return ""


class Codec:
    """A tokenizer's two directions; all methods are safe from any thread.

    Args:
        tokenizer: of transformers, with a backend of `tokenizers`.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._backend = tokenizer.backend_tokenizer
        document = json.loads(self._backend.to_str())
        self._plain = _without_added_tokens(document)
        self.byte_level = _is_byte_level(document.get("decoder"))
        self._spaced = not self.byte_level and "▁" in json.dumps(
            document.get("decoder"), ensure_ascii=False
        )
        added = tokenizer.added_tokens_decoder
        self._added: dict[int, str] = {i: t.content for i, t in added.items()}
        self.special_ids = frozenset(
            {i for i, t in added.items() if t.special} | set(tokenizer.all_special_ids)
        )
        self.controls = _controls(tokenizer)
        self._bytes: dict[int, bytes] = {}

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        """Tokens of text; `special` puts around it what the tokenizer itself puts there."""
        ids: list[int] = self._backend.encode(text, add_special_tokens=special).ids
        return ids

    def encode_plain(self, text: str) -> list[int]:
        """Tokens of text in which no control token is recognized."""
        ids: list[int] = self._plain.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, tokens: Sequence[int], *, special: bool = False) -> str:
        """Text of tokens; special ones are left out unless asked for."""
        text: str = self._backend.decode(list(tokens), skip_special_tokens=not special)
        return text

    def token_bytes(self, token: int) -> bytes:
        """What a token stands for; empty for an id behind the vocabulary."""
        found = self._bytes.get(token)
        if found is None:
            found = self._bytes[token] = self._find_bytes(token)
        return found

    def stream(self, keep: Iterable[str] = ()) -> TextStream:
        """A new answer's text; special tokens are left out of it, but for those to `keep`."""
        kept = frozenset(i for t in keep if (i := self._backend.token_to_id(t)) is not None)
        if self.byte_level:
            return ByteStream(self, kept)
        hidden = self.special_ids - kept

        def decode(tokens: list[int]) -> str:
            return self.decode([t for t in tokens if t not in hidden], special=True)

        return Detokenizer(decode)

    def _find_bytes(self, token: int) -> bytes:
        if (content := self._added.get(token)) is not None:
            return content.encode()
        text = self._backend.id_to_token(token)
        if text is None:
            return b""
        if self._spaced:
            byte = _BYTE_TOKEN.fullmatch(text)
            return bytes([int(byte[1], 16)]) if byte else bytes(text.replace("▁", " "), "utf-8")
        if not self.byte_level:
            return self.decode([token], special=True).encode()
        try:
            return bytes(_BYTE_OF[c] for c in text)
        except KeyError:  # as the library does: a token outside the alphabet stands for itself
            return bytes(text, "utf-8")


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-ins of all bytes (openai/gpt-2, `encoder.py`)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in printable]
    found = {chr(b): b for b in printable}
    return found | {chr(256 + n): b for n, b in enumerate(others)}


_BYTE_OF = _byte_alphabet()


def _is_byte_level(decoder: dict[str, Any] | None) -> bool:
    if not decoder:
        return False
    if decoder["type"] == "Sequence":
        kinds = {d["type"] for d in decoder["decoders"]}
        return "ByteLevel" in kinds and kinds <= {"ByteLevel", "Fuse"}
    return bool(decoder["type"] == "ByteLevel")


def _without_added_tokens(document: dict[str, Any]) -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_str(
        json.dumps(document | {"added_tokens": [], "post_processor": None, "truncation": None})
    )


def _controls(tokenizer: Any) -> list[str]:
    """Texts that would act when they are read as tokens, longest first."""
    added = tokenizer.added_tokens_decoder.values()
    found = {t.content for t in added if t.special or _LOOKS_LIKE_CONTROL.fullmatch(t.content)}
    found |= set(tokenizer.all_special_tokens)
    return sorted((t for t in found if t), key=len, reverse=True)
