"""What is trained is what the model must say, no more and no less."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.datasets import Message, Sample
from tests.tiny_models import BOS, EOS, tiny_tokenizer
from workers.train.encoding import Encoded, Encoder

CHAT = Sample(
    messages=(
        Message("system", "Be kind."),
        Message("user", "hi"),
        Message("assistant", "Hello, 你好!"),
        Message("user", "again"),
        Message("assistant", "n"),
    )
)
THOUGHT = Sample(
    messages=(
        Message("user", "1+1?"),
        Message("assistant", "<think>\neasy\n</think>\n\n2"),
        Message("user", "sure?"),
        Message("assistant", "<think>\nyes\n</think>\n\nYes."),
    )
)


def trained_text(tokenizer: Any, row: Encoded) -> str:
    return str(tokenizer.decode(row.ids[row.trained]))


def text(tokenizer: Any, row: Encoded) -> str:
    return str(tokenizer.decode(row.ids))


@pytest.mark.parametrize("pad_is_eos", [False, True])
@pytest.mark.parametrize("template", ["plain", "marked", "r1"])
def test_answers_and_their_ends_are_trained_and_nothing_else(
    template: str, pad_is_eos: bool
) -> None:
    tokenizer = tiny_tokenizer(template=template, pad_is_eos=pad_is_eos)
    (row,) = Encoder(tokenizer, 256).encode(CHAT)
    assert trained_text(tokenizer, row) == f"Hello, 你好!{EOS}n{EOS}"
    assert text(tokenizer, row).endswith(f"User: again\n\nAssistant: n{EOS}")
    assert 0 < row.trained.mean() < 1


def test_a_model_without_a_template_gets_the_documented_one() -> None:
    tokenizer = tiny_tokenizer(template="none")
    (row,) = Encoder(tokenizer, 256).encode(CHAT)
    assert text(tokenizer, row) == (
        f"{BOS}Be kind.\n\nUser: hi\n\nAssistant: Hello, 你好!{EOS}User: again\n\nAssistant: n{EOS}"
    )
    assert trained_text(tokenizer, row) == f" Hello, 你好!{EOS} n{EOS}"


@pytest.mark.parametrize("adds_bos", [True, False])
@pytest.mark.parametrize("template", ["plain", "marked", "none"])
def test_there_is_exactly_one_bos(template: str, adds_bos: bool) -> None:
    tokenizer = tiny_tokenizer(template=template, adds_bos=adds_bos)
    (row,) = Encoder(tokenizer, 256).encode(CHAT)
    assert row.ids[0] == tokenizer.bos_token_id
    assert list(row.ids).count(tokenizer.bos_token_id) == 1
    assert not row.trained[0]


@pytest.mark.parametrize("template", ["plain", "marked", "r1", "none"])
def test_a_prompt_is_encoded_as_it_is_in_training(template: str) -> None:
    """Serving's prompt and the target together are the training row, token for token."""
    tokenizer = tiny_tokenizer(template=template)
    encoder = Encoder(tokenizer, 256)
    sample = Sample(messages=(Message("user", "hi"), Message("assistant", "Hello there")))
    (row,) = encoder.encode(sample)
    prompt = encoder.prompt_ids("hi")
    assert list(row.ids[: len(prompt)]) == prompt
    assert not row.trained[: len(prompt)].any()
    assert row.trained[len(prompt) :].all()


@pytest.mark.parametrize("template", ["plain", "marked"])
def test_thoughts_are_trained_where_the_template_keeps_them(template: str) -> None:
    tokenizer = tiny_tokenizer(template=template)
    (row,) = Encoder(tokenizer, 256).encode(THOUGHT)
    assert trained_text(tokenizer, row) == (
        f"<think>\neasy\n</think>\n\n2{EOS}<think>\nyes\n</think>\n\nYes.{EOS}"
    )


def test_a_template_that_drops_thoughts_does_not_drop_them_from_training() -> None:
    """As R1-Distill's; each turn becomes a row, since past turns are shown without thoughts."""
    tokenizer = tiny_tokenizer(template="r1")
    first, second = Encoder(tokenizer, 256).encode(THOUGHT)
    assert trained_text(tokenizer, first) == f"<think>\neasy\n</think>\n\n2{EOS}"
    assert trained_text(tokenizer, second) == f"<think>\nyes\n</think>\n\nYes.{EOS}"
    assert "easy" not in text(tokenizer, second)


def test_a_marked_template_that_hides_what_was_said_is_not_believed() -> None:
    tokenizer = tiny_tokenizer(template="marked")
    tokenizer.chat_template = tokenizer.chat_template.replace(
        "m['content'] + eos_token", "m['content'].split('</think>')[-1] + eos_token"
    )
    rows = Encoder(tokenizer, 256).encode(THOUGHT)
    assert "easy" in trained_text(tokenizer, rows[0])


def test_a_prompt_that_opens_the_thinking_is_continued_not_repeated() -> None:
    tokenizer = tiny_tokenizer(template="plain")
    tokenizer.chat_template = tokenizer.chat_template.replace(
        "{{ 'Assistant: ' }}{% endif %}", "{{ 'Assistant: <think>\n' }}{% endif %}"
    )
    encoder = Encoder(tokenizer, 256)
    with_thought = Sample(messages=THOUGHT.messages[:2])
    (row,) = encoder.encode(with_thought)
    assert text(tokenizer, row).endswith(f"Assistant: <think>\neasy\n</think>\n\n2{EOS}")
    assert trained_text(tokenizer, row) == f"easy\n</think>\n\n2{EOS}"
    (bare,) = encoder.encode(Sample(messages=(Message("user", "q"), Message("assistant", "a"))))
    assert trained_text(tokenizer, bare) == f"\n</think>\n\na{EOS}"


def test_an_end_outside_the_marked_block_is_trained_too() -> None:
    tokenizer = tiny_tokenizer(template="marked")
    tokenizer.chat_template = tokenizer.chat_template.replace(
        "{{ m['content'] + eos_token }}{% endgeneration %}",
        "{{ m['content'] }}{% endgeneration %}{{ eos_token }}",
    )
    (row,) = Encoder(tokenizer, 256).encode(CHAT)
    assert trained_text(tokenizer, row) == f"Hello, 你好!{EOS}n{EOS}"


def test_a_template_that_forgets_the_end_gets_one() -> None:
    tokenizer = tiny_tokenizer(template="plain")
    tokenizer.chat_template = tokenizer.chat_template.replace(" + eos_token", " + '\n\n'")
    rows = Encoder(tokenizer, 256).encode(CHAT)
    assert [trained_text(tokenizer, row) for row in rows] == [f"Hello, 你好!{EOS}", f"n{EOS}"]


def test_a_template_that_trims_trains_what_it_shows() -> None:
    tokenizer = tiny_tokenizer(template="plain")
    tokenizer.chat_template = tokenizer.chat_template.replace(
        "m['content']", "m['content'].strip()"
    )
    sample = Sample(messages=(Message("user", " q "), Message("assistant", " a \n")))
    (row,) = Encoder(tokenizer, 256).encode(sample)
    assert trained_text(tokenizer, row) == f"a{EOS}"


def test_an_answer_that_stands_in_the_prompt_is_not_taken_for_it() -> None:
    tokenizer = tiny_tokenizer(template="plain")
    sample = Sample(messages=(Message("user", "Assistant"), Message("assistant", "Assistant")))
    (row,) = Encoder(tokenizer, 256).encode(sample)
    assert trained_text(tokenizer, row) == f"Assistant{EOS}"


def test_plain_text_is_trained_whole_and_gets_an_end() -> None:
    tokenizer = tiny_tokenizer()
    (row,) = Encoder(tokenizer, 256).encode(Sample(text="some text"))
    assert text(tokenizer, row) == f"{BOS}some text{EOS}"
    assert row.target_tokens == len(row) - 1


def test_long_rows_are_cut_at_the_end_and_may_lose_their_targets() -> None:
    tokenizer = tiny_tokenizer()
    sample = Sample(messages=(Message("user", "x" * 100), Message("assistant", "y" * 100)))
    (whole,) = Encoder(tokenizer, 1000).encode(sample)
    (cut,) = Encoder(tokenizer, 16).encode(sample)
    assert list(cut.ids) == list(whole.ids[:16])
    assert cut.target_tokens == 0


def test_a_tokenizer_that_marks_word_starts_is_masked_by_offsets() -> None:
    """As SentencePiece's, where a piece encoded alone would gain a space."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE(unk_token="<unk>"))
    bpe.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    bpe.decoder = decoders.Metaspace(prepend_scheme="always")
    trainer = trainers.BpeTrainer(
        vocab_size=200, special_tokens=["<unk>", BOS, EOS], show_progress=False
    )
    bpe.train_from_iterator(["User: hi Assistant: Hello there friend " * 9], trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token=BOS, eos_token=EOS)
    tokenizer.chat_template = tiny_tokenizer(template="plain").chat_template
    sample = Sample(messages=(Message("user", "hi"), Message("assistant", "Hello there")))
    (row,) = Encoder(tokenizer, 256).encode(sample)
    whole = tokenizer.encode(
        f"{BOS}User: hi\n\nAssistant: Hello there{EOS}", add_special_tokens=False
    )
    assert list(row.ids) == whole
    assert trained_text(tokenizer, row).strip() == f"Hello there{EOS}"


R1_DISTILL = (
    "{% set ns = namespace(system='') %}{%- for m in messages %}{%- if m['role'] == 'system' %}"
    "{% set ns.system = m['content'] %}{%- endif %}{%- endfor %}{{ bos_token }}{{ ns.system }}"
    "{%- for m in messages %}{%- if m['role'] == 'user' %}{{ '<U>' + m['content'] }}{%- endif %}"
    "{%- if m['role'] == 'assistant' %}{% set content = m['content'] %}"
    "{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}"
    "{{ '<A>' + content + eos_token }}{%- endif %}{%- endfor -%}"
    "{% if add_generation_prompt %}{{ '<A><think>\n' }}{% endif %}"
)
"""In the shape of DeepSeek-R1-Distill's later template: it drops thoughts and opens new ones."""

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def test_r1_templates_train_thought_and_answer_behind_the_prompt_that_opens_the_thinking() -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = R1_DISTILL
    encoder = Encoder(tokenizer, 256)
    first, second = encoder.encode(THOUGHT)
    assert text(tokenizer, first) == f"{BOS}<U>1+1?<A><think>\neasy\n</think>\n\n2{EOS}"
    assert trained_text(tokenizer, first) == f"easy\n</think>\n\n2{EOS}"
    assert text(tokenizer, second).startswith(f"{BOS}<U>1+1?<A>\n\n2{EOS}<U>sure?<A><think>\n")
    prompt = encoder.prompt_ids("1+1?")
    assert list(first.ids[: len(prompt)]) == prompt


@pytest.mark.parametrize("eos", ["<|im_end|>", EOS])
def test_chatml_trains_up_to_the_end_of_the_turn_whatever_the_end_token_is(eos: str) -> None:
    """Qwen's base models have another end token than the one that ends a turn."""
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.eos_token = eos
    tokenizer.chat_template = CHATML
    sample = Sample(messages=CHAT.messages[1:])
    (row,) = Encoder(tokenizer, 256).encode(sample)
    assert trained_text(tokenizer, row) == "Hello, 你好!<|im_end|>n<|im_end|>"
    assert text(tokenizer, row).count("<|im_end|>\n<|im_start|>") == 3


FRAGMENTS = [
    "User: ", "Assistant: ", "\n", "\n\n", " ", "a", "b c", "你好", "<think>", "</think>",
    "<think>\nx\n</think>\n\n", "😀", "\u2028", "{{ x }}", "s",
]  # fmt: skip
SAID = st.lists(st.sampled_from(FRAGMENTS), max_size=6).map("".join)


@pytest.mark.parametrize("template", ["plain", "marked", "r1", "none", "r1_opening"])
def test_whatever_is_said_is_trained_to_the_letter(template: str) -> None:
    tokenizer = tiny_tokenizer(template="plain" if template == "r1_opening" else template)
    if template == "r1_opening":
        tokenizer.chat_template = R1_DISTILL
    encoder = Encoder(tokenizer, 100_000)
    lead = " " if template == "none" else ""

    def expected(content: str) -> str:
        if template != "r1_opening":
            return f"{lead}{content}{EOS}"
        if content.startswith("<think>"):
            return content.removeprefix("<think>").lstrip("\n") + EOS
        if "</think>" in content and "<think>" not in content:  # R1's own answers begin so
            return content + EOS
        return f"\n</think>\n\n{content}{EOS}"

    @settings(max_examples=100, deadline=None, derandomize=True)
    @given(st.lists(st.tuples(SAID, SAID), min_size=1, max_size=3))
    def check(turns: list[tuple[str, str]]) -> None:
        messages = [
            Message(role, said)
            for turn in turns
            for role, said in zip(("user", "assistant"), turn, strict=True)
        ]
        rows = encoder.encode(Sample(messages=tuple(messages)))
        trained = "".join(trained_text(tokenizer, row) for row in rows)
        assert trained == "".join(expected(answer) for _, answer in turns)

    check()
