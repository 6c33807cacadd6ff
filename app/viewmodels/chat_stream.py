"""One answer from its request to its last word, and its continuation after a cut."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from app.viewmodels.chat_client import (
    CHAT,
    COMPLETIONS,
    ApiFailed,
    Target,
    post_json,
    sse_documents,
)
from app.viewmodels.chat_turns import Answer, ChatSettings

MOST_RETRIES = 5
_BUSY = (429, 503)
_OPEN, _CLOSE = "<think>", "</think>"
Told = Callable[[], None]
Documents = AsyncIterator[dict[str, Any]]


async def write(
    answer: Answer,
    target: Target,
    messages: list[dict[str, str]],
    settings: ChatSettings,
    told: Told,
) -> None:
    """Stream the answer; a full server is asked again when it said to. `told` after every piece."""
    body = _streamed(target, settings) | {"messages": messages}
    await _until_answered(answer, lambda: sse_documents(target, CHAT, body), told)


async def go_on(
    answer: Answer,
    target: Target,
    messages: list[dict[str, str]],
    settings: ChatSettings,
    told: Told,
) -> None:
    """Write on where the answer stopped: its own tokens stand behind the prompt's.

    Raw completion of the template's tokens, since a chat always closes what was said before.
    """
    if answer.text:
        answer.thought_before_s = answer.thought_s
    answer.running, answer.problem, answer.saved = True, None, None
    before = answer.continued_from = answer.tokens
    answer.ended_s = answer.first_s = None
    answer.started_s = time.monotonic()
    try:
        prompt = await _prompt_so_far(answer, target, messages, settings)
    except BaseException as e:
        _end(answer, e)
        if not isinstance(e, ApiFailed | asyncio.CancelledError):
            raise
        told()
        return
    body = _streamed(target, settings) | {"prompt": prompt}
    body.pop("chat_template_kwargs", None)
    await _until_answered(answer, lambda: sse_documents(target, COMPLETIONS, body), told, before)


def _streamed(target: Target, settings: ChatSettings) -> dict[str, Any]:
    more = {"model": target.model, "stream": True, "stream_options": {"include_usage": True}}
    return settings.body(target.thinking) | more


async def _prompt_so_far(
    answer: Answer, target: Target, messages: list[dict[str, str]], settings: ChatSettings
) -> list[int]:
    asked: dict[str, Any] = {"model": target.model, "messages": messages}
    if kwargs := settings.body(target.thinking).get("chat_template_kwargs"):
        asked["chat_template_kwargs"] = kwargs
    found = await post_json(target, "/tokenize", asked | {"return_token_strs": True})
    opened = "".join(found.get("token_strs") or ())[-32:].rstrip().endswith(_OPEN)
    said = {"model": target.model, "prompt": _said(answer, opened), "add_special_tokens": False}
    more = await post_json(target, "/tokenize", said)
    return [*found["tokens"], *more["tokens"]]


def _said(answer: Answer, opened: bool) -> str:
    """The answer as the model itself wrote it."""
    if not answer.reasoning:
        return answer.text
    start = "" if opened else f"{_OPEN}\n"
    if not answer.text:
        return start + answer.reasoning
    return f"{start}{answer.reasoning.rstrip()}\n{_CLOSE}\n\n{answer.text}"


async def _until_answered(
    answer: Answer, ask: Callable[[], Documents], told: Told, tokens_before: int = 0
) -> None:
    try:
        for tries_left in reversed(range(MOST_RETRIES + 1)):
            try:
                async for document in ask():
                    _take(answer, document, tokens_before)
                    told()
                break
            except ApiFailed as e:
                wait_s = e.problem.retry_after_s
                full = e.problem.status in _BUSY and wait_s is not None
                if not (full and tries_left):
                    raise
                assert wait_s is not None
                await _wait(answer, e, wait_s, told)
        _end(answer)
    except (ApiFailed, asyncio.CancelledError) as e:
        _end(answer, e)
    except BaseException as e:
        _end(answer, e)
        raise
    finally:
        told()


async def _wait(answer: Answer, refused: ApiFailed, wait_s: float, told: Told) -> None:
    answer.problem, answer.retry_at_s = refused.problem, time.monotonic() + wait_s
    told()
    try:
        await asyncio.sleep(wait_s)
        answer.problem = None
    finally:
        answer.retry_at_s = None
    answer.started_s = time.monotonic()


def _end(answer: Answer, reason: BaseException | None = None) -> None:
    answer.running, answer.ended_s = False, time.monotonic()
    if isinstance(reason, asyncio.CancelledError):
        answer.finish, answer.problem = "stopped", None
    elif isinstance(reason, ApiFailed):
        answer.finish, answer.problem = "broken", reason.problem
    elif reason is not None:
        answer.finish, answer.problem = "broken", ApiFailed(repr(reason)).problem


def _take(answer: Answer, document: dict[str, Any], tokens_before: int) -> None:
    for choice in document.get("choices") or ():
        delta = choice.get("delta") or {}
        text, thought = delta.get("content") or "", delta.get("reasoning_content") or ""
        if "text" in choice:  # a raw completion: thoughts are told apart here
            text, thought = _split(answer, str(choice["text"] or ""))
        _hear(answer, text, thought)
        answer.finish = choice.get("finish_reason") or answer.finish
    if usage := document.get("usage"):
        _count(answer, usage, tokens_before)


def _hear(answer: Answer, text: str, thought: str) -> None:
    if not (text or thought):
        return
    now = time.monotonic()
    answer.first_s = answer.first_s or now
    answer.tokens += 1
    if thought:
        answer.reasoning_tokens += 1
    if text and answer.reasoning and answer.thought_end_s is None:
        answer.thought_end_s = now
    answer.text += text
    answer.reasoning += thought


def _split(answer: Answer, text: str) -> tuple[str, str]:
    """A continued thought ends with its closing tag; what comes behind it is the answer."""
    if not answer.reasoning or answer.text:
        return text, ""
    whole = answer.reasoning + text
    if _CLOSE not in whole:
        return "", text
    thought, _, rest = whole.partition(_CLOSE)
    answer.reasoning = thought.rstrip()
    return rest.lstrip(), ""


def _count(answer: Answer, usage: dict[str, Any], tokens_before: int) -> None:
    answer.tokens = tokens_before + int(usage.get("completion_tokens") or 0)
    if not tokens_before:  # a continuation reads the question again, with what it wrote itself
        answer.prompt_tokens = int(usage.get("prompt_tokens") or 0)
        known = usage.get("prompt_tokens_details") or {}
        answer.cached_tokens = int(known.get("cached_tokens") or 0)
    thought = int((usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0)
    answer.reasoning_tokens = max(answer.reasoning_tokens if tokens_before else 0, thought)
