"""What other tools got wrong between a conversation and its token labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.texts.train_notes import TRAIN_NOTES
from core.datasets import Message, Sample, open_dataset, read_samples
from core.errors import ErrorCode, UsageError
from tests.tiny_models import BOS, EOS, tiny_tokenizer
from tests.train_runs import write_data
from workers.train import findings
from workers.train.batches import IGNORED, make_batch
from workers.train.chat import without_thoughts
from workers.train.data import RunData, encode_dataset
from workers.train.encoding import Encoded, Encoder, Reading
from workers.train.stream import Document, cut

TURNS = Sample(
    messages=(
        Message("user", "hi"),
        Message("assistant", "Hello there"),
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
R1_DISTILL = (
    "{{ bos_token }}{%- for m in messages %}{%- if m['role'] == 'user' %}"
    "{{ '<U>' + m['content'] }}{%- endif %}{%- if m['role'] == 'assistant' %}"
    "{% set content = m['content'] %}{% if '</think>' in content %}"
    "{% set content = content.split('</think>')[-1] %}{% endif %}"
    "{{ '<A>' + content + eos_token }}{%- endif %}{%- endfor -%}"
    "{% if add_generation_prompt %}{{ '<A><think>\n' }}{% endif %}"
)
"""In the shape of DeepSeek-R1-Distill's: past thoughts are cut out, new ones are opened."""
QWEN3 = (
    "{%- for m in messages %}{%- if m['role'] == 'user' %}"
    "{{ '<|im_start|>user\n' + m['content'] + '<|im_end|>\n' }}"
    "{%- elif m['role'] == 'assistant' %}{%- set content = m['content'] %}"
    "{%- set thought = '' %}{%- if '</think>' in content %}"
    "{%- set thought = content.split('</think>')[0].split('<think>')[-1].strip('\n') %}"
    "{%- set content = content.split('</think>')[-1].lstrip('\n') %}{%- endif %}"
    "{{ '<|im_start|>assistant\n' }}{%- if loop.last %}"
    "{{ '<think>\n' + thought + '\n</think>\n\n' }}{%- endif %}"
    "{{ content + '<|im_end|>\n' }}{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{%- endif %}"
)
"""In the shape of Qwen3's: only the last answer keeps its thoughts, and gets empty ones."""
TEMPLATES = {"r1": R1_DISTILL, "qwen3": QWEN3}


def tokenizer_with(template: str) -> Any:
    if template not in TEMPLATES:
        return tiny_tokenizer(template=template)
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.chat_template = TEMPLATES[template]
    return tokenizer


def trained_text(tokenizer: Any, row: Encoded) -> str:
    return str(tokenizer.decode(row.ids[row.targets]))


@pytest.mark.parametrize("template", ["plain", "marked", "none"])
def test_the_end_of_every_answer_is_a_label_also_when_padding_has_the_same_id(
    template: str,
) -> None:
    """https://github.com/huggingface/transformers/issues/23530,
    https://github.com/huggingface/trl/issues/976
    """
    tokenizer = tiny_tokenizer(template=template, pad_is_eos=True)
    assert tokenizer.pad_token_id == tokenizer.eos_token_id
    (row,) = Encoder(tokenizer, 256).encode(TURNS)
    short = Encoded(row.ids[:6], np.ones(6, bool))
    batch = make_batch([row, short], tokenizer.pad_token_id)
    labels = batch.targets[0]
    assert (labels == tokenizer.eos_token_id).sum() == 2
    assert labels[-1] == tokenizer.eos_token_id
    assert (batch.targets[1] != IGNORED).sum() == 5
    assert tokenizer.eos_token_id not in batch.targets[1]


@pytest.mark.parametrize("template", ["plain", "none", "r1", "qwen3"])
def test_a_template_without_marks_trains_the_answers_and_their_ends_alone(template: str) -> None:
    """https://github.com/huggingface/trl/issues/4147,
    https://github.com/NVIDIA-NeMo/Megatron-Bridge/issues/3359: the mask was empty or full, or the
    end of the turn lay outside.
    """
    tokenizer = tokenizer_with(template)
    rows = Encoder(tokenizer, 256).encode(TURNS)
    end = "<|im_end|>" if template == "qwen3" else EOS
    said = [trained_text(tokenizer, row) for row in rows]
    assert "".join(said).count(end) == 2
    assert all(text.endswith(end) for text in said)
    assert all(0 < row.trained.mean() < 1 for row in rows)
    assert "again" not in "".join(said)


@pytest.mark.parametrize("template", ["r1", "qwen3"])
def test_reasoning_survives_a_template_that_deletes_it(template: str) -> None:
    """https://github.com/deepseek-ai/DeepSeek-R1/issues/633,
    https://github.com/hiyouga/LlamaFactory/issues/6987,
    https://github.com/huggingface/trl/pull/6766
    """
    tokenizer = tokenizer_with(template)
    encoder = Encoder(tokenizer, 256)
    reads = encoder.read(THOUGHT)
    said = "".join(trained_text(tokenizer, read.row) for read in reads)
    assert "easy\n</think>\n\n2" in said
    assert "yes\n</think>\n\nYes." in said
    # What serving shows and what was trained behind it are one text.
    prompt = encoder.prompt_ids("1+1?")
    assert reads[0].row.ids[: len(prompt)].tolist() == prompt
    assert not reads[0].row.trained[: len(prompt)].any()
    assert reads[0].row.trained[len(prompt)]


def test_it_is_said_that_a_template_would_have_deleted_thoughts() -> None:
    (read, *_) = Encoder(tokenizer_with("r1"), 256).read(THOUGHT)
    assert findings.THOUGHTS_RESTORED in read.codes
    (kept,) = Encoder(tokenizer_with("plain"), 256).read(THOUGHT)
    assert findings.THOUGHTS_RESTORED not in kept.codes


@pytest.mark.parametrize("template", ["plain", "r1", "qwen3"])
def test_stripped_thoughts_are_nowhere_in_a_row(template: str) -> None:
    tokenizer = tokenizer_with(template)
    encoder = Encoder(tokenizer, 256, Reading(thinking="strip"))
    reads = encoder.read(THOUGHT)
    whole = "".join(tokenizer.decode(read.row.ids) for read in reads)
    assert "easy" not in whole
    assert "yes" not in whole
    assert "Yes." in "".join(trained_text(tokenizer, read.row) for read in reads)
    assert all(findings.THOUGHTS_STRIPPED in read.codes for read in reads)


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("<think>\na\n</think>\n\nb", "b"),
        ("a\n</think>\n\nb", "b"),
        ("x <think>a</think> y", "x  y"),
        ("nothing", "nothing"),
    ],
)
def test_an_answer_is_what_follows_its_thoughts(said: str, left: str) -> None:
    (message,) = without_thoughts((Message("assistant", said),))
    assert message.content == left


def test_an_answer_cut_off_while_thinking_ends_the_conversation() -> None:
    messages = (*TURNS.messages[:2], Message("user", "q"), Message("assistant", "<think>\nlong"))
    assert without_thoughts(messages) == messages[:3]


@pytest.mark.parametrize("adds_bos", [True, False])
@pytest.mark.parametrize("template", ["plain", "marked", "none"])
def test_a_conversation_begins_with_one_start_token(template: str, adds_bos: bool) -> None:
    """https://github.com/deepseek-ai/DeepSeek-R1/issues/151,
    https://github.com/unslothai/unsloth/issues/2648
    """
    tokenizer = tiny_tokenizer(template=template, adds_bos=adds_bos)
    encoder = Encoder(tokenizer, 256)
    (read,) = encoder.read(TURNS)
    assert read.row.ids[0] == tokenizer.bos_token_id
    assert read.row.ids[1] != tokenizer.bos_token_id
    assert findings.DOUBLE_BOS not in read.codes
    assert encoder.prompt_ids("hi").count(tokenizer.bos_token_id) == 1


def test_a_start_token_that_the_data_bring_along_is_warned_of() -> None:
    encoder = Encoder(tiny_tokenizer(), 256)
    (read,) = encoder.read(Sample(text=f"{BOS}some text"))
    assert findings.DOUBLE_BOS in read.codes


def test_a_missing_end_token_is_warned_of() -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.eos_token = None
    (read,) = Encoder(tokenizer, 256).read(Sample(text="some text"))
    assert findings.END_TOKEN_MISSING in read.codes


def test_the_number_of_target_tokens_is_the_number_of_positions_with_loss() -> None:
    """Older transformers counted the first token of a row as well."""
    tokenizer = tiny_tokenizer()
    everything = Encoder(tokenizer, 256, Reading(assistant_only_loss=False))
    for encoder, sample in (
        (Encoder(tokenizer, 256), TURNS),
        (everything, TURNS),
        (everything, Sample(text="some text")),
    ):
        (row,) = encoder.encode(sample)
        assert row.target_tokens == (make_batch([row], 0).targets != IGNORED).sum()
    assert row.trained.all()
    assert row.target_tokens == len(row) - 1


# Every token of a conversation.


@pytest.mark.parametrize("template", ["plain", "marked", "none"])
def test_without_assistant_only_loss_every_token_but_the_first_is_a_target(template: str) -> None:
    tokenizer = tiny_tokenizer(template=template)
    whole = Encoder(tokenizer, 256, Reading(assistant_only_loss=False))
    (row,) = whole.encode(TURNS)
    assert row.trained.all()
    (answers,) = Encoder(tokenizer, 256).encode(TURNS)
    assert tokenizer.decode(row.ids) == tokenizer.decode(answers.ids)


def test_a_conversation_that_becomes_several_rows_is_taught_once() -> None:
    tokenizer = tokenizer_with("r1")
    encoder = Encoder(tokenizer, 256, Reading(assistant_only_loss=False))
    first, second = encoder.encode(THOUGHT)
    assert first.trained.all()
    assert trained_text(tokenizer, second) == f"<U>sure?<A><think>\nyes\n</think>\n\nYes.{EOS}"


# Pre-training.


def text_of(rows: list[Encoded]) -> list[int]:
    return [token for row in rows for token in row.ids.tolist()]


@settings(deadline=None)
@given(st.lists(st.integers(0, 50), max_size=12), st.integers(2, 30), st.booleans())
def test_rows_of_a_pre_training_lose_no_token(lengths: list[int], size: int, bounds: bool) -> None:
    documents, at = [], 0
    for line, n in enumerate(lengths):
        ids = np.arange(at, at + n, dtype=np.int32)
        documents.append(Document(Encoded(ids, np.ones(n, bool)), line))
        at += n
    rows = [row for row, _ in cut(documents, size, bounds=bounds)]
    assert text_of(rows) == list(range(at))
    assert all(len(row) == size for row in rows[:-1])
    if bounds:
        begins = [int(row.ids[start]) for row in rows for start in row.starts]
        assert set(np.cumsum([0, *lengths])[:-1].tolist()) - {at} <= set(begins)
    else:
        assert all(row.starts == (0,) for row in rows)


def read(folder: Path, encoder: Encoder, *, bounds: bool = False) -> RunData:
    return encode_dataset(
        open_dataset(folder), encoder, eval_max_samples=10, progress=lambda _: None, bounds=bounds
    )


@pytest.mark.parametrize("bounds", [False, True])
def test_plain_text_becomes_full_rows_with_an_end_after_each_document(
    tmp_path: Path, bounds: bool
) -> None:
    file = tmp_path / "train.jsonl"
    texts = [f"Document {i} says " + "list " * i for i in range(20)]
    file.write_text("".join(f'{{"text": "{t}"}}\n' for t in texts), "utf-8")
    tokenizer = tiny_tokenizer()
    rows = read(file, Encoder(tokenizer, 32, Reading(stage="pretrain")), bounds=bounds).train
    kept = [sample.text for sample in read_samples(open_dataset(file).train[0])]
    expected = "".join(f"{BOS}{t}{EOS}" for t in kept)
    assert tokenizer.decode(text_of(rows.rows)) == expected
    assert {len(row) for row in rows.rows[:-1]} == {32}
    documents = sum(len(row.starts) for row in rows.rows)
    assert documents >= len(kept) if bounds else documents == len(rows)
    path, line = rows.source(len(rows) - 1)
    assert path == file.resolve()
    assert 15 <= line <= 20


def test_conversations_are_read_as_text_in_a_pre_training(tmp_path: Path) -> None:
    file = write_data(tmp_path / "train.jsonl", 5)
    tokenizer = tiny_tokenizer()
    rows = read(file, Encoder(tokenizer, 64, Reading(stage="pretrain"))).train.rows
    text = tokenizer.decode(text_of(rows))
    kept = open_dataset(file).counts["train"]
    assert text.count(f"{BOS}User: What is") == text.count(EOS) == kept > 0
    assert all(row.trained.all() for row in rows)


# One clear word for bad input.


def test_every_note_has_words_in_both_languages() -> None:
    for code in findings.DATA_NOTES:
        words = TRAIN_NOTES[code]
        assert words.en
        assert words.zh


def test_samples_longer_than_the_limit_are_counted_with_the_longest(tmp_path: Path) -> None:
    file = write_data(tmp_path / "train.jsonl", 23)
    data = read(file, Encoder(tiny_tokenizer(), 20))
    (note,) = (n for n in data.tally.notes() if n.code == findings.CUT)
    assert note.params["limit"] == 20
    assert note.params["longest"] == max(data.tally.lengths) > 20
    assert note.params["count"] == sum(n > 20 for n in data.tally.lengths)


def test_a_model_without_a_template_is_told_which_one_it_gets(tmp_path: Path) -> None:
    file = write_data(tmp_path / "train.jsonl", 3)
    notes = read(file, Encoder(tiny_tokenizer(template="none"), 64)).tally.notes()
    assert findings.TEMPLATE_FALLBACK in {note.code for note in notes}


def test_a_template_that_is_no_template_is_named_as_the_cause(tmp_path: Path) -> None:
    file = write_data(tmp_path / "train.jsonl", 3)
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }"
    with pytest.raises(UsageError) as caught:
        read(file, Encoder(tokenizer, 64))
    assert caught.value.code is ErrorCode.MODEL_TEMPLATE_BROKEN


@pytest.mark.parametrize("value", ["NaN", "null", "3", '[""]'])
def test_an_answer_that_is_no_text_is_refused_with_its_line(tmp_path: Path, value: str) -> None:
    file = tmp_path / "train.jsonl"
    good = '{"prompt": "q", "completion": "a"}\n'
    file.write_text(good + f'{{"prompt": "q", "completion": {value}}}\n', "utf-8")
    with pytest.raises(UsageError) as caught:
        read(file, Encoder(tiny_tokenizer(), 64))
    assert caught.value.code in (ErrorCode.DATA_BAD_SAMPLE, ErrorCode.DATA_BAD_JSON)
    assert caught.value.params["line"] == 2


def test_data_without_any_answer_within_the_limit_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "train.jsonl"
    file.write_text('{"prompt": "' + "long " * 100 + '", "completion": "a"}\n', "utf-8")
    with pytest.raises(UsageError) as caught:
        read(file, Encoder(tiny_tokenizer(), 16))
    assert caught.value.code is ErrorCode.DATA_NOTHING_TO_TRAIN


def test_each_sample_number_leads_to_its_line(tmp_path: Path) -> None:
    file = tmp_path / "train.jsonl"
    long = '{"prompt": "' + "long " * 100 + '", "completion": "a"}\n'
    good = '{"prompt": "q", "completion": "a"}\n'
    file.write_text(good + long + good, "utf-8")
    rows = read(file, Encoder(tiny_tokenizer(), 64)).train
    assert [rows.source(i)[1] for i in range(len(rows))] == [1, 3]
    assert [row.samples for row in rows.rows] == [(0,), (1,)]
