from __future__ import annotations

import itertools
import string
import typing

import pytest

from app import messages
from app.texts import words
from app.texts.alarms import ALARMS
from app.texts.errors import ERRORS
from app.texts.refusals import REFUSALS, refusal_text
from core.divergence import codes
from core.errors import ErrorCode, ErrorInfo
from core.hardware.gpu import NoGpuReason
from core.paths import PROJECT_ROOT
from core.protocol.events import AlarmRaised
from core.runlog.state import Status
from core.supervisor.verdict import Reason


def placeholders(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


@pytest.mark.parametrize("code", [c.value for c in ErrorCode])
def test_every_error_code_has_a_message_and_a_hint_in_both_languages(code: str) -> None:
    assert all(ERRORS[code])


def test_no_text_belongs_to_a_code_that_does_not_exist() -> None:
    assert set(ERRORS) == {c.value for c in ErrorCode}


@pytest.mark.parametrize("code", sorted(ERRORS))
def test_both_languages_of_an_error_name_the_same_facts(code: str) -> None:
    texts = ERRORS[code]
    assert placeholders(texts.en) == placeholders(texts.zh)
    assert placeholders(texts.en_hint) == placeholders(texts.zh_hint)


@pytest.mark.parametrize("alarm", sorted(ALARMS))
def test_both_languages_of_an_alarm_name_the_same_facts(alarm: str) -> None:
    en, zh = ALARMS[alarm][:3], ALARMS[alarm][3:]
    assert [placeholders(t) for t in en] == [placeholders(t) for t in zh]


def test_every_alarm_that_a_detector_can_raise_has_texts() -> None:
    assert set(ALARMS) >= codes.ALARM_CODES


def test_every_status_verdict_and_gpu_reason_has_words() -> None:
    assert set(typing.get_args(Status)) <= set(words.STATUSES)
    assert set(typing.get_args(Reason)) <= set(words.REASONS)
    assert set(typing.get_args(NoGpuReason)) == set(words.GPU_REASONS)


CHINESE = [
    *(t for e in ERRORS.values() for t in (e.zh, e.zh_hint)),
    *(t for a in ALARMS.values() for t in a[3:]),
    *(w.zh for table in vars(words).values() if isinstance(table, dict) for w in table.values()
      if isinstance(w, words.Words)),
]  # fmt: skip


def is_han(char: str) -> bool:
    return "\u4e00" <= char <= "\u9fff"


@pytest.mark.parametrize("text", [t for t in CHINESE if t])
def test_chinese_stands_apart_from_latin_and_uses_full_width_punctuation(text: str) -> None:
    for left, right in itertools.pairwise(text):
        assert not (is_han(left) and right.isascii() and right.isalnum()), text
        assert not (left.isascii() and left.isalnum() and is_han(right)), text
        assert not (is_han(left) and right in ",;:!?()"), text


def test_a_fact_that_is_missing_leaves_a_dash_and_no_traceback() -> None:
    text = messages.error_text(ErrorInfo(code="serve.port_in_use"), "en")
    assert text.message == "Port – on – is taken by another program."


def test_an_error_of_a_newer_worker_is_shown_with_its_code() -> None:
    text = messages.error_text(ErrorInfo(code="future.thing", detail="odd"), "zh")
    assert "future.thing" in text.message
    assert "odd" in text.message


def test_out_of_memory_without_figures_does_not_show_empty_ones() -> None:
    text = messages.error_text(ErrorInfo(code="train.out_of_memory", detail="CPU"), "en")
    assert text.message == "The memory was not enough. CPU"


def test_an_infinite_gradient_norm_is_said_as_such() -> None:
    alarm = AlarmRaised(alarm="non_finite", step=905, value=float("inf"))
    assert "∞" in messages.alarm_text(alarm, "en").message


def test_an_unknown_phase_is_shown_as_it_is() -> None:
    assert messages.phase_text("folding", "zh") == "folding"


def test_every_refusal_of_a_running_training_has_words_in_both_languages() -> None:
    parts = ("commands.py", "parking.py")
    told = "".join((PROJECT_ROOT / "workers" / "train" / p).read_text("utf-8") for p in parts)
    for code, said in REFUSALS.items():
        assert code in told
        assert said.en.endswith(".")
        assert said.zh.endswith("。")
    assert refusal_text("from_tomorrow", "en") == "from_tomorrow"
