"""From messages or raw text to tokens, off the event loop and with a limit of time.

The chat template is rendered by transformers' sandbox. Control tokens inside what a client wrote
are encoded as plain text: a message cannot end its own turn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from core.errors import AppError, ErrorCode
from workers.serve.engines.sources import source_arguments
from workers.serve.http.errors import bad_value, unavailable
from workers.serve.http.schemas_chat import Message
from workers.serve.text.codec import Codec
from workers.serve.text.reasoning import starts_in_thought
from workers.serve.text.shield import Shield
from workers.serve.text.timed_threads import TimedThreads, TimeUp
from workers.serve.text.tool_formats import ToolFormat, format_of
from workers.serve.text.turns import knows_tools, tools_text, turns_of, with_system_text

_TEMPLATE_SWITCHES = frozenset({"enable_thinking", "thinking"})
_TIME_LIMIT_S = 10.0
_THREADS = 2
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
    text: str | None = None
    """As the client wrote it; None where it gave tokens or messages."""


@dataclass(frozen=True)
class Conversation:
    """A chat's messages, and how they are to be put to the model."""

    messages: Sequence[Message]
    switches: dict[str, bool] = field(default_factory=dict)
    """For the template, such as `enable_thinking`."""
    tools: Sequence[dict[str, Any]] = ()
    """Definitions of functions in OpenAI's form."""
    ask: bool = True
    """End with the beginning of the model's turn."""


class Prompter:
    """A model's tokenizer and chat templates, safe to call from the event loop.

    An adapter that brings a template is asked with it: it was trained with it. A base model
    without a template is asked with its adapter's, so that the two can be compared.

    Args:
        tokenizer: of transformers.
        defaults: what the model's maker recommends for sampling.
        templates: of adapters, by the engine's name; a plain text is every adapter's.
    """

    def __init__(
        self,
        tokenizer: Any,
        defaults: dict[str, float] | None = None,
        templates: dict[str, str] | str | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        self._templates = templates or {}
        self.sampling_defaults = defaults or {}
        self.codec = Codec(tokenizer)
        self._threads = TimedThreads("tokenizer", _THREADS, _TIME_LIMIT_S)

    @classmethod
    def load(
        cls, model: Path, adapter: Path | None = None, recommended_by: Path | None = None
    ) -> Prompter:
        """The tokenizer of a model folder or GGUF file, and the template of an adapter folder.

        `recommended_by`: whose advice on sampling counts, where the tokenizer lies elsewhere.

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
        if not hasattr(tokenizer, "backend_tokenizer"):
            raise AppError(
                ErrorCode.MODEL_TOKENIZER_MISSING, path=str(model), detail="no tokenizer.json"
            )
        template = adapter_template(adapter) if adapter else None
        return cls(tokenizer, _sampling_defaults(recommended_by or model), template)

    def use_templates(self, templates: dict[str, str]) -> None:
        """Adapters came or went: templates by the engine's names of them."""
        self._templates = dict(templates)

    def has_chat_template(self, adapter: str | None) -> bool:
        """Whether `chat` works for the engine's adapter of that name, or the base model (None)."""
        return bool(self._tokenizer.chat_template or self._template_for(adapter))

    def tool_format(self, adapter: str | None) -> ToolFormat:
        """How this model writes calls of functions."""
        backend = self._tokenizer.backend_tokenizer
        return format_of(
            self._template_text(adapter, tools=True),
            lambda text: backend.token_to_id(text) is not None,
        )

    def info(self) -> dict[str, Any]:
        """The names of the tokenizer's own tokens, and the base model's template."""
        names = ("bos_token", "eos_token", "pad_token", "unk_token")
        return {
            "tokenizer_class": type(self._tokenizer).__name__,
            "chat_template": self._template_text(None, tools=False) or None,
        } | {name: getattr(self._tokenizer, name, None) for name in names}

    def decode(self, tokens: list[int]) -> str:
        """Text of tokens, special ones left out."""
        return self.codec.decode(tokens)

    def token_text(self, token: int) -> tuple[str, list[int]]:
        """One token as text and as bytes, for logprobs."""
        raw = self.codec.token_bytes(token)
        return raw.decode("utf-8", "replace"), list(raw)

    async def run(self, call: Callable[[], _T]) -> _T:
        """Do something with text off the event loop.

        Raises:
            ApiError: 503 when it takes too long.
        """
        try:
            return await self._threads.run(call)
        except TimeUp as e:
            raise unavailable("the prompt took too long to prepare", "prompt_timeout") from e

    async def text(self, prompt: str) -> Prompt:
        """Raw text, with the tokens that the tokenizer itself puts around it.

        Raises:
            ApiError: 400 for an empty prompt.
        """
        if not prompt:
            raise bad_value("the prompt is empty", "prompt")
        return await self.run(lambda: self._prompt(prompt))

    async def texts(self, prompts: Sequence[str | list[int]]) -> list[Prompt]:
        """Several at once; token lists are taken as they are.

        Raises:
            ApiError: 400 for an empty text.
        """
        if not all(prompts):
            raise bad_value("a prompt is empty", "prompt")
        if not any(isinstance(p, str) for p in prompts):
            return [Prompt(p) for p in prompts if not isinstance(p, str)]
        return await self.run(lambda: [self._prompt(p) for p in prompts])

    def _prompt(self, prompt: str | list[int]) -> Prompt:
        if isinstance(prompt, list):
            return Prompt(prompt)
        return Prompt(self.codec.encode(prompt, special=True), text=prompt)

    async def chat(self, conversation: Conversation, adapter: str | None = None) -> Prompt:
        """Messages through the chat template of model or adapter, ready for the model's turn.

        Raises:
            ApiError: 400 for a model without template, an unknown switch, content that is not
                text, or an order of turns that the template refuses.
        """
        if not self.has_chat_template(adapter):
            raise bad_value(
                "this model has no chat template; use /v1/completions instead", "messages"
            )
        if unknown := set(conversation.switches) - _TEMPLATE_SWITCHES:
            raise bad_value(f"unknown: {', '.join(sorted(unknown))[:80]}", "chat_template_kwargs")
        return await self.run(lambda: self._render(conversation, adapter))

    def close(self) -> None:
        """End the threads."""
        self._threads.close()

    def _template_for(self, adapter: str | None) -> str | None:
        """The adapter's template where it counts; None leaves it to the tokenizer's own."""
        if adapter is None and self._tokenizer.chat_template:
            return None
        if isinstance(self._templates, str):
            return self._templates
        if adapter is None:  # the base has none: any adapter's will do to compare them
            return next(iter(self._templates.values()), None)
        return self._templates.get(adapter)

    def _template_text(self, adapter: str | None, *, tools: bool) -> str:
        found = self._template_for(adapter) or self._tokenizer.chat_template or ""
        if isinstance(found, dict):
            name = "tool_use" if tools and "tool_use" in found else "default"
            return str(found.get(name, ""))
        return str(found)

    def _render(self, asked: Conversation, adapter: str | None) -> Prompt:
        from jinja2 import TemplateError
        from transformers.utils.chat_template_utils import render_jinja_template

        shield = Shield(self.codec.controls)
        template = self._template_text(adapter, tools=bool(asked.tools))
        form = self.tool_format(adapter)
        turns = turns_of(asked.messages, template, form, shield)
        more: dict[str, Any] = dict(asked.switches)
        if asked.tools:
            definitions = shield.hide_all(list(asked.tools))
            if knows_tools(template):
                more["tools"] = definitions
            else:
                turns = with_system_text(turns, tools_text(definitions, form))
        try:
            # Not `apply_chat_template`: it takes `content: None` away, which DeepSeek's templates
            # know a turn of calls by.
            (text,), _ = render_jinja_template(
                [turns],
                chat_template=template,
                add_generation_prompt=asked.ask,
                **self._tokenizer.special_tokens_map,
                **more,
            )
        except (TemplateError, TypeError, ValueError, KeyError) as e:
            raise bad_value(f"the chat template refused: {str(e)[:200]}", "messages") from e
        in_thought = asked.ask and starts_in_thought(text)
        return Prompt(self._encode(shield.split(text)), in_thought)

    def _encode(self, parts: list[tuple[str, bool]]) -> list[int]:
        tokens: list[int] = []
        for part, hidden in parts:
            tokens += self.codec.encode_plain(part) if hidden else self.codec.encode(part)
        return tokens


def adapter_template(adapter: Path) -> str | None:
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
