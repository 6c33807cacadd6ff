"""Codes and ids in the user's language. Qt-free: the command line speaks with it too.

A code or id that is newer than this program is shown as it is, never hidden.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from app.texts import serving, words
from app.texts.alarms import ALARMS, AlarmTexts
from app.texts.combinations import REFUSALS
from app.texts.errors import ERRORS, ErrorTexts
from app.texts.findings import finding_text as finding_text
from app.texts.words import Words
from core.errors import ErrorInfo
from core.protocol.events import AlarmRaised, ServeReady

Language = Literal["en", "zh"]


@dataclass(frozen=True)
class ErrorText:
    """An error in one language."""

    message: str
    """What happened."""
    hint: str
    """What to do; may be empty."""


@dataclass(frozen=True)
class AlarmText:
    """An alarm in one language."""

    title: str
    message: str
    hint: str


class _Facts(dict[str, Any]):
    """Facts that are missing (an older worker) leave a dash, never a traceback."""

    def __missing__(self, key: str) -> str:
        return "–"


_UNKNOWN = ErrorTexts(
    "An error that this version does not know: {code}. {detail}",
    "A newer DeepDeck may know it.",
    "当前版本无法识别的错误：{code}。{detail}",
    "较新版本的 DeepDeck 可能能够识别。",
)
_UNKNOWN_ALARM = AlarmTexts(
    "{alarm}", "Raised at step {step}. {detail}", "",
    "{alarm}", "第 {step} 步触发。{detail}", "",
)  # fmt: skip


def error_text(error: ErrorInfo, language: Language) -> ErrorText:
    """The sentence and the hint of an error."""
    texts = ERRORS.get(error.code, _UNKNOWN)
    facts = _Facts({"code": error.code, "detail": error.detail, **error.params})
    if texts is ERRORS.get("train.out_of_memory") and "needed_gib" not in error.params:
        texts = _out_of_memory_without_figures(texts)
    message, hint = (texts.en, texts.en_hint) if language == "en" else (texts.zh, texts.zh_hint)
    if refusal := REFUSALS.get(str(error.params.get("reason", ""))):
        reason, hint = refusal[:2] if language == "en" else refusal[2:]
        facts["reason"] = _fill(reason, facts)
    return ErrorText(_fill(message, facts), _fill(hint, facts))


def alarm_text(alarm: AlarmRaised, language: Language) -> AlarmText:
    """Title, sentence and hint of an alarm."""
    texts = ALARMS.get(alarm.alarm, _UNKNOWN_ALARM)
    facts = _Facts(
        alarm=alarm.alarm,
        step=f"{alarm.step:,}",
        value=figure_text(alarm.value),
        threshold=figure_text(alarm.threshold),
        detail=alarm.detail,
    )
    parts = texts[:3] if language == "en" else texts[3:]
    title, message, hint = (_fill(part, facts) for part in parts)
    return AlarmText(title, message, hint)


def sentences_text(sentences: Iterable[str], language: Language) -> str:
    """Sentences behind each other: Chinese ones need no space between them."""
    return ("" if language == "zh" else " ").join(s for s in sentences if s)


def choice_reasons(ready: ServeReady, language: Language) -> str:
    """Why this engine and this precision; what the user chose needs no reason."""
    found = []
    if ready.engine_reason not in ("", "as_chosen"):
        found.append(serving.engine_reason_text(ready.engine_reason, ready.engine_params, language))
    if ready.precision_reason not in ("", "as_chosen"):
        words = serving.precision_reason_text
        found.append(words(ready.precision_reason, ready.precision_params, language))
    return sentences_text(found, language)


def figure_text(value: float) -> str:
    """A figure of an alarm: three digits, not-a-number in words."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def phase_text(phase: str, language: Language) -> str:
    """What a worker does now."""
    return _word(words.PHASES, phase, language)


def status_text(status: str, language: Language) -> str:
    """The state of a run, a server or a finding as one word."""
    return _word(words.STATUSES, status, language)


def job_text(job: str, language: Language) -> str:
    """What kind of run it is."""
    return _word(words.JOBS, job, language)


def reason_text(reason: str, language: Language) -> str:
    """Why a run ended: `RunFinished.reason` or `Verdict.reason` as a sentence."""
    return _word(words.REASONS, reason, language)


def stop_rung_text(rung: str, language: Language) -> str:
    """How far the stop ladder has climbed."""
    return _word(words.STOP_RUNGS, rung, language)


def gpu_reason_text(reason: str, language: Language) -> str:
    """Why there is no card: `core.hardware.NoGpuReason` as a sentence."""
    return _word(words.GPU_REASONS, reason, language)


def source_text(source: str, language: Language) -> str:
    """Where a model comes from."""
    return _word(words.MODEL_SOURCES, source, language)


def language_text(code: str, language: Language) -> str:
    """The name of a language that a model speaks."""
    return _word(words.LANGUAGES, code, language)


def split_text(split: str, language: Language) -> str:
    """The name of a split of a dataset."""
    return _word(words.SPLITS, split, language)


def _word(table: Mapping[str, Words], key: str, language: Language) -> str:
    found = table.get(key)
    if found is None:
        return key
    return found.en if language == "en" else found.zh


def _fill(template: str, facts: Mapping[str, Any]) -> str:
    return template.format_map(facts).strip()


def _out_of_memory_without_figures(texts: ErrorTexts) -> ErrorTexts:
    return texts._replace(en="The memory was not enough. {detail}", zh="内存不足。{detail}")
