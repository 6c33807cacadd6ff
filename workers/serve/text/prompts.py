"""From messages or raw text to tokens, on a thread of its own.

The chat template is rendered by transformers' sandbox, off the event loop. Special tokens inside
what a client wrote are encoded as plain text: a message cannot end its own turn.
"""

from __future__ import annotations

import asyncio
import copy
import re
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from core.errors import AppError, ErrorCode
from workers.serve.engines.sources import source_arguments
from workers.serve.http.errors import bad_value, unavailable
from workers.serve.http.schemas import Message
from workers.serve.text.reasoning import starts_in_thought

_TEMPLATE_SWITCHES = frozenset({"enable_thinking", "thinking"})
_TIME_LIMIT_S = 20.0
TEMPLATE_FILE = "chat_template.jinja"
MAX_TEMPLATE_BYTES = 256 * 1024
"""Of an adapter's template; the longest of known models has a tenth of that."""
_T = TypeVar("_T")


@dataclass(frozen=True)
class Prompt:
    """What the model reads."""

    tokens: list[int]
    in_thought: bool = False
    """The prompt ends with an open `<think>` tag."""


class Prompter:
    """A model's tokenizer and chat templates, safe to call from the event loop.

    An adapter that brings a template is asked with it: it was trained with it. A base model
    without a template is asked with its adapter's, so that the two can be compared.
    """

    def __init__(
        self,
        tokenizer: Any,
        defaults: dict[str, float] | None = None,
        adapter_template: str | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        self._adapter_template = adapter_template
        self.sampling_defaults = defaults or {}
        # Encoding switches states inside the tokenizer while others decode: two copies.
        self._decoder = copy.deepcopy(tokenizer)
        self._specials = _special_texts(tokenizer)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="tokenizer")

    @classmethod
    def load(cls, model: Path, adapter: Path | None = None) -> Prompter:
        """The tokenizer of a model folder or GGUF file, and the template of an adapter folder.

        Raises:
            AppError: `model.tokenizer_missing`; `file.damaged` for a template that is no text or
                larger than `MAX_TEMPLATE_BYTES`.
        """
        from transformers import AutoTokenizer

        source, arguments = source_arguments(model)
        try:
            tokenizer = AutoTokenizer.from_pretrained(source, **arguments)
        except Exception as e:
            raise AppError(
                ErrorCode.MODEL_TOKENIZER_MISSING, path=str(model), detail=str(e)[:500]
            ) from e
        template = _adapter_template(adapter) if adapter else None
        return cls(tokenizer, _sampling_defaults(model), template)

    def has_chat_template(self, adapter: str | None) -> bool:
        """Whether `chat` works for the engine's adapter of that name, or the base model (None)."""
        return bool(self._tokenizer.chat_template or self._template_for(adapter))

    def decode(self, tokens: list[int]) -> str:
        """Text of tokens, special ones left out."""
        text: str = self._decoder.decode(
            tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text

    def token_text(self, token: int) -> tuple[str, list[int]]:
        """One token as text and as bytes, for logprobs."""
        text: str = self._decoder.decode([token], clean_up_tokenization_spaces=False)
        return text, list(text.encode("utf-8"))

    async def text(self, prompt: str) -> Prompt:
        """Raw text, with the tokens that the tokenizer itself puts around it.

        Raises:
            ApiError: 400 for an empty prompt.
        """
        if not prompt:
            raise bad_value("the prompt is empty", "prompt")
        return await self._in_pool(lambda: Prompt(self._tokenizer.encode(prompt)))

    async def chat(
        self,
        messages: list[Message],
        switches: dict[str, bool] | None,
        adapter: str | None = None,
    ) -> Prompt:
        """Messages through the chat template of model or adapter, ready for the model's turn.

        Raises:
            ApiError: 400 for a model without template, an unknown switch, content that is not
                text, or an order of turns that the template refuses.
        """
        if not self.has_chat_template(adapter):
            raise bad_value(
                "this model has no chat template; use /v1/completions instead", "messages"
            )
        if unknown := set(switches or {}) - _TEMPLATE_SWITCHES:
            raise bad_value(f"unknown: {', '.join(sorted(unknown))[:80]}", "chat_template_kwargs")
        turns = [{"role": _role(m.role), "content": _plain_text(m)} for m in messages]
        return await self._in_pool(lambda: self._render(turns, adapter, switches or {}))

    def close(self) -> None:
        """End the thread."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _template_for(self, adapter: str | None) -> str | None:
        """The adapter's template where it counts; None leaves it to the tokenizer's own."""
        counts = adapter is not None or not self._tokenizer.chat_template
        return self._adapter_template if counts else None

    async def _in_pool(self, call: Callable[[], _T]) -> _T:
        loop = asyncio.get_running_loop()
        try:
            return await asyncio.wait_for(loop.run_in_executor(self._pool, call), _TIME_LIMIT_S)
        except TimeoutError as e:
            raise unavailable("the prompt took too long to prepare", "prompt_timeout") from e

    def _render(
        self, turns: list[dict[str, str]], adapter: str | None, switches: dict[str, bool]
    ) -> Prompt:
        from jinja2 import TemplateError

        shield = _Shield(self._specials)
        shielded = [t | {"content": shield.hide(t["content"])} for t in turns]
        try:
            text: str = self._tokenizer.apply_chat_template(
                shielded,
                chat_template=self._template_for(adapter),
                tokenize=False,
                add_generation_prompt=True,
                **switches,
            )
        except (TemplateError, TypeError, ValueError) as e:
            raise bad_value(f"the chat template refused: {str(e)[:200]}", "messages") from e
        tokens: list[int] = []
        for part, hidden in shield.split(text):
            tokens += self._tokenizer.encode(
                part, add_special_tokens=False, split_special_tokens=hidden
            )
        return Prompt(tokens, starts_in_thought(text))


class _Shield:
    """Keeps special tokens in user text away from the template's own by a one-time mark."""

    def __init__(self, specials: list[str]) -> None:
        self._pattern = re.compile("|".join(map(re.escape, specials))) if specials else None
        self._mark = f"\ue000{secrets.token_hex(8)}:"
        self._hidden: list[str] = []

    def hide(self, text: str) -> str:
        """Replace each special token by a mark and its number."""
        return self._pattern.sub(self._replace, text) if self._pattern else text

    def split(self, text: str) -> list[tuple[str, bool]]:
        """Parts of the rendered text, and whether each is a hidden token's plain text."""
        pieces = re.split(re.escape(self._mark) + r"(\d+)\ue001", text)
        parts = [
            (self._hidden[int(p)], True) if i % 2 else (p, False) for i, p in enumerate(pieces)
        ]
        return [p for p in parts if p[0]]

    def _replace(self, found: re.Match[str]) -> str:
        self._hidden.append(found.group())
        return f"{self._mark}{len(self._hidden) - 1}\ue001"


def _adapter_template(adapter: Path) -> str | None:
    """The adapter's template, if it has one that is not empty. Only the sandbox may run it."""
    path = adapter / TEMPLATE_FILE
    if not path.is_file():
        return None
    try:
        with path.open("rb") as f:
            data = f.read(MAX_TEMPLATE_BYTES + 1)
        if len(data) > MAX_TEMPLATE_BYTES:
            raise ValueError(f"larger than {MAX_TEMPLATE_BYTES} bytes")
        return data.decode("utf-8") or None
    except (OSError, ValueError) as e:
        raise AppError(ErrorCode.FILE_DAMAGED, path=str(path), detail=str(e)) from e


def _special_texts(tokenizer: Any) -> list[str]:
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    found = {t.content for t in added if t.special} | set(tokenizer.all_special_tokens)
    return sorted((t for t in found if t), key=len, reverse=True)


def _role(role: str) -> str:
    return "system" if role == "developer" else role


def _plain_text(message: Message) -> str:
    if not isinstance(message.content, list):
        return message.content or ""
    if any(part.type != "text" for part in message.content):
        raise bad_value("only text is understood: no pictures, sounds or files", "messages")
    return "".join(part.text or "" for part in message.content)


def _sampling_defaults(model: Path) -> dict[str, float]:
    """What the model's maker recommends, if he says to sample."""
    from transformers import GenerationConfig

    folder = model if model.is_dir() else model.parent
    try:
        config = GenerationConfig.from_pretrained(folder, local_files_only=True)
    except Exception:  # noqa: BLE001 - absent or unreadable: then there is no recommendation
        return {}
    if not config.do_sample:
        return {}
    wanted = ("temperature", "top_p", "top_k", "repetition_penalty")
    return {k: v for k in wanted if (v := getattr(config, k, None)) is not None}
