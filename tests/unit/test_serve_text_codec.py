"""Text to tokens and back: as the library does it, a token at a time, and never for too long."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("transformers")

from tests.tiny_models import tiny_tokenizer
from workers.serve.text.codec import Codec
from workers.serve.text.timed_threads import TimedThreads, TimeUp

TOKENIZER = tiny_tokenizer()
CODEC = Codec(TOKENIZER)


def written(tokens: list[int], keep: tuple[str, ...] = ()) -> str:
    stream = CODEC.stream(keep)
    return "".join(stream.add(t) for t in tokens) + stream.finish()


@given(st.text())
@settings(max_examples=200)
def test_any_text_comes_back_token_by_token(text: str) -> None:
    tokens = CODEC.encode_plain(text)
    assert written(tokens) == text
    assert CODEC.decode(tokens) == text


@given(st.lists(st.integers(0, len(TOKENIZER) - 1), max_size=40))
@settings(max_examples=300)
def test_any_tokens_read_as_the_library_reads_them(tokens: list[int]) -> None:
    whole = TOKENIZER.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    torn = whole.rstrip("\ufffd")
    assert written(tokens).rstrip("\ufffd") == torn


@given(st.text())
def test_encoding_is_the_librarys(text: str) -> None:
    assert CODEC.encode(text) == TOKENIZER.encode(text, add_special_tokens=False)
    assert CODEC.encode(text, special=True) == TOKENIZER.encode(text)


def test_control_tokens_are_text_where_they_are_meant_as_text() -> None:
    assert len(CODEC.encode("<|eos|>")) == 1
    tokens = CODEC.encode_plain("<|eos|>")
    assert len(tokens) > 1
    assert CODEC.decode(tokens) == "<|eos|>"


def test_special_tokens_are_left_out_but_for_those_to_keep() -> None:
    tokens = [*CODEC.encode("a"), TOKENIZER.eos_token_id, *CODEC.encode("b")]
    assert written(tokens) == "ab"
    assert written(tokens, ("<|eos|>",)) == "a<|eos|>b"


def test_ids_behind_the_vocabulary_are_nothing() -> None:
    assert written([10**6, *CODEC.encode("a")]) == "a"


def test_a_vocabulary_of_words_is_decoded_with_its_spaces() -> None:
    """As Llama 2's: a space belongs to the token behind it, bytes stand for what is missing."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {"<unk>": 0, "▁the": 1, "▁fox": 2, "es": 3}
    words |= {f"<0x{b:02X}>": 4 + b for b in range(256)}
    backend = Tokenizer(models.BPE(words, [], byte_fallback=True, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    codec = Codec(PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>"))
    assert not codec.byte_level
    stream = codec.stream()
    heart = [4 + b for b in "♥".encode()]
    pieces = [stream.add(t) for t in (1, 2, 3, *heart, 1)]
    assert "".join(pieces) + stream.finish() == "the foxes♥ the"
    assert all("\ufffd" not in p for p in pieces)
    assert [codec.token_bytes(t) for t in (1, 3, heart[0])] == [b" the", b"es", b"\xe2"]


# -- time ---------------------------------------------------------------------------------------


def test_work_that_never_ends_is_broken_off_and_holds_nobody_up() -> None:
    ended = threading.Event()

    def endless() -> None:
        try:
            while True:
                time.sleep(0.001)
        finally:
            ended.set()

    async def go() -> int:
        threads = TimedThreads("test", 1, 0.1)
        with pytest.raises(TimeUp):
            await threads.run(endless)
        found = await threads.run(lambda: 42)
        threads.close()
        return found

    assert asyncio.run(go()) == 42
    assert ended.wait(10)


def test_exceptions_of_the_work_pass_through() -> None:
    async def go() -> None:
        threads = TimedThreads("test", 1, 5)
        try:
            await threads.run(lambda: 1 // 0)
        finally:
            threads.close()

    with pytest.raises(ZeroDivisionError):
        asyncio.run(go())
