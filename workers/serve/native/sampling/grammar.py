"""What an answer must obey: JSON, a JSON schema, or calls of given functions.

Over llguidance (https://github.com/guidance-ai/llguidance). A grammar is text, so that it can go
through a pipe and be the key of a cache:

- `json_object`: any JSON object;
- a JSON schema as text (starts with a brace);
- what `for_tools` makes: calls of functions in a model's own notation (`tool_grammar.py`);
- what `after_thought` makes of one of these: free text up to a closing tag first.

Clients write schemas, so nothing here takes long or much memory: sizes are checked first, the
compiler works with fuel, and the engine compiles on a thread of its own. No torch in here: the
front checks with the same code before it submits.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from workers.serve.native.sampling import tool_grammar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

JSON_OBJECT = "json_object"
_AFTER = "after:"
_TOOLS = "tools:"

MAX_BYTES = 128 * 1024
MAX_DEPTH = 64
"""Brackets within brackets of a schema; JSON of real services has under 20."""
MAX_PARTS = 20_000
"""Keys and values of a schema, all levels together."""
MAX_CHOICES = 5_000
"""Values of all enumerations together."""
MAX_PATTERN = 1024
MAX_MULTIPLE = 1000
"""Of `multipleOf` without its decimal point: the automaton has a state for each remainder."""
MAX_REPEATS = 20_000
"""Of `minItems`, `maxLength` and so on."""

_REPEATS = frozenset(
    {"minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"}
)
_NEWLINES = "( |\n[ \t]{0,32})"
"""At most one blank or one line break with its indentation between two parts of JSON, so that an
answer cannot go on with blanks for ever."""
_JSON_OPTIONS: dict[str, Any] = {
    "item_separator": ",",
    "key_separator": ":",
    "whitespace_flexible": True,
    "whitespace_pattern": _NEWLINES,
    "coerce_one_of": False,
    "lenient": False,
}
_CACHED = 64
_REASON_CHARS = 300


class GrammarError(ValueError):
    """Why a grammar is refused or an answer cannot go on, in plain English for the client."""


# -- what the front calls ---------------------------------------------------------------------


def check(text: str) -> None:
    """Refuse what no answer could be held to. Takes up to a second: not on an event loop.

    Raises:
        GrammarError: too large, not understood, or nothing can satisfy it.
    """
    _matcher(_byte_tokenizer(), text)


def for_tools(functions: list[dict[str, Any]], style: tool_grammar.Style) -> str:
    """The grammar of one or more calls of these functions, in a model's own notation.

    Args:
        functions: as in OpenAI's `tools[i].function`: `name` and a JSON schema `parameters`.
        style: the notation.
    """
    wanted = [{"name": f["name"], "parameters": f.get("parameters")} for f in functions]
    return _TOOLS + json.dumps({"style": style, "functions": wanted}, ensure_ascii=False)


def after_thought(text: str, closing: str = "</think>") -> str:
    """The same grammar, obeyed from behind the closing tag on; before it anything goes."""
    return f"{_AFTER}{closing}\n{text}"


# -- what the engine calls --------------------------------------------------------------------


class RowGrammar:
    """Where one answer stands in its grammar. Belongs to the engine's thread."""

    def __init__(self, matcher: Any, end_tokens: Collection[int], words: int) -> None:
        self._matcher = matcher
        self._end_tokens = frozenset(end_tokens)
        self.words = words
        """Columns of a mask."""

    @property
    def stopped(self) -> bool:
        """Whether the answer is complete and only an end token may follow."""
        return bool(self._matcher.is_stopped())

    @property
    def complete(self) -> bool:
        """Whether the answer may end here."""
        return bool(self._matcher.is_accepting())

    def fill(self, masks: NDArray[np.int32], row: int) -> None:
        """Write what may come next into `masks[row]`: bit j of word i is token 32 * i + j.

        Args:
            masks: [rows, `words`], its rows without gaps.
            row: which one to write.

        Raises:
            GrammarError: the answer became too complex to go on.
        """
        line = masks[row]
        if not line.flags["C_CONTIGUOUS"]:
            raise ValueError("a row of masks must be contiguous")
        self._matcher.unsafe_compute_mask_ptr(line.ctypes.data, line.nbytes)
        _raise_error(self._matcher)

    def accept(self, token: int) -> None:
        """Go on by the token that was chosen.

        Raises:
            GrammarError: it was not allowed.
        """
        if self.stopped and token in self._end_tokens:
            return
        if not self._matcher.consume_token(token):
            _raise_error(self._matcher)
            raise GrammarError("the answer left its grammar")

    def accept_all(self, tokens: Iterable[int]) -> None:
        """Go on by several tokens."""
        for token in tokens:
            self.accept(token)


class Grammars:
    """Compiles for one model's tokenizer, on a thread of its own, and remembers the last ones."""

    def __init__(self, tokenizer: Any, vocab_size: int, eos_token_ids: Collection[int]) -> None:
        """Takes up to a second.

        Args:
            tokenizer: a fast tokenizer of transformers.
            vocab_size: columns of the logits; may be more than the tokenizer has entries.
            eos_token_ids: tokens that end an answer, at least one.
        """
        import llguidance

        size = max(vocab_size, len(tokenizer))
        self._end_tokens = sorted(eos_token_ids)
        self._tokenizer = llguidance.LLTokenizer(
            _tokenizer_text(tokenizer), n_vocab=size, eos_token=self._end_tokens
        )
        self.words = (size + 31) // 32
        """Columns of a mask."""
        self._known: OrderedDict[str, Any] = OrderedDict()
        self._lock = Lock()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="grammar")

    @classmethod
    def load(cls, model: Path, vocab_size: int, eos_token_ids: Collection[int]) -> Grammars:
        """For a model folder or GGUF file."""
        from transformers import AutoTokenizer

        from workers.serve.engines.sources import source_arguments

        source, arguments = source_arguments(model)
        tokenizer = AutoTokenizer.from_pretrained(source, **arguments)
        return cls(tokenizer, vocab_size, eos_token_ids)

    def compile(self, text: str) -> Future[RowGrammar]:
        """A row's grammar at its start; the future raises `GrammarError`. Never blocks."""
        return self._pool.submit(self.compile_now, text)

    def compile_now(self, text: str) -> RowGrammar:
        """As `compile`, in the caller's thread.

        Raises:
            GrammarError: see `check`.
        """
        with self._lock:
            known = self._known.pop(text, None)
            if known is not None:
                self._known[text] = known
        if known is None:
            known = _matcher(self._tokenizer, text)
            self._remember(text, known)
        return RowGrammar(known.deep_copy(), self._end_tokens, self.words)

    def close(self) -> None:
        """End the thread."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _remember(self, text: str, matcher: Any) -> None:
        with self._lock:
            self._known[text] = matcher
            while len(self._known) > _CACHED:
                self._known.popitem(last=False)


# -- compiling --------------------------------------------------------------------------------


def _matcher(tokenizer: Any, text: str) -> Any:
    """A matcher at the start of an answer that has proved to have a first token."""
    import llguidance

    grammar = json.dumps({"grammars": _grammars(tokenizer, text)})
    matcher = llguidance.LLMatcher(tokenizer, grammar, log_level=0, limits=_limits())
    _raise_error(matcher)
    matcher.compute_bitmask()
    _raise_error(matcher)
    return matcher


@lru_cache(maxsize=1)
def _limits() -> Any:
    """Fuel of the compiler and of each step: a hostile schema ends within about a second."""
    import llguidance

    return llguidance.LLParserLimits(
        max_items_in_row=20_000,  # 5,000 properties that may all be left out
        initial_lexer_fuel=1_000_000,
        step_lexer_fuel=200_000,
        step_max_items=50_000,
        max_lexer_states=50_000,
        max_grammar_size=200_000,
        verbose_errors=False,
    )


@lru_cache(maxsize=1)
def _byte_tokenizer() -> Any:
    import llguidance

    return llguidance.LLTokenizer("byte")


def _grammars(tokenizer: Any, text: str) -> list[dict[str, Any]]:
    """Llguidance's list of grammars, the first of which is the start."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise GrammarError(f"the schema is larger than {MAX_BYTES // 1024} KiB")
    if text.startswith(_AFTER):
        closing, _, inner = text.removeprefix(_AFTER).partition("\n")
        rest = _grammars(tokenizer, inner)
        thought = tool_grammar.thought(closing, _token_of(tokenizer, closing))
        return [{"lark_grammar": thought}, {**rest[0], "name": "answer"}, *rest[1:]]
    if text.startswith(_TOOLS):
        return _tool_grammars(tokenizer, text.removeprefix(_TOOLS))
    schema = {"type": "object"} if text == JSON_OBJECT else _parsed(text)
    return [{"json_schema": _with_options(schema)}]


def _tool_grammars(tokenizer: Any, text: str) -> list[dict[str, Any]]:
    wanted = _parsed(text)
    lark, schemas = tool_grammar.calls(
        wanted["style"], wanted["functions"], lambda tag: _token_of(tokenizer, tag)
    )
    # Schemas of tools are descriptions first: a keyword that cannot be enforced is not.
    named = [
        {"name": name, "json_schema": _with_options(schema, lenient=True)}
        for name, schema in schemas.items()
    ]
    return [{"lark_grammar": lark}, *named]


def _token_of(tokenizer: Any, tag: str) -> int | None:
    """The one special token that a tag is; None when the model writes it as text."""
    tokens = tokenizer.tokenize_str(tag, parse_special=True)
    if len(tokens) == 1 and tokenizer.is_special_token(tokens[0]):
        return int(tokens[0])
    return None


def _with_options(schema: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The schema with our options; a client's own `x-guidance` does not count."""
    return {**schema, "x-guidance": _JSON_OPTIONS | changes}


def _parsed(text: str) -> dict[str, Any]:
    try:
        schema = json.loads(text)
    except RecursionError:
        raise GrammarError(_too_deep()) from None
    except ValueError as e:
        raise GrammarError(f"the schema is no JSON: {e}") from None
    if not isinstance(schema, dict):
        raise GrammarError("the schema must be a JSON object")
    _check_sizes(schema)
    return schema


def _too_deep() -> str:
    return f"the schema is nested deeper than {MAX_DEPTH} levels"


def _check_sizes(schema: dict[str, Any]) -> None:
    choices = 0
    for count, (depth, key, value) in enumerate(_walk(schema)):
        if depth > MAX_DEPTH:
            raise GrammarError(_too_deep())
        if count > MAX_PARTS:
            raise GrammarError(f"the schema has more than {MAX_PARTS} parts")
        if key == "enum" and isinstance(value, list):
            choices += len(value)
            if choices > MAX_CHOICES:
                raise GrammarError(f"the schema lists more than {MAX_CHOICES} enum values")
        _check_value(key, value)


def _check_value(key: str, value: Any) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if key in _REPEATS and number and value > MAX_REPEATS:
        raise GrammarError(f"{key} is {value}, at most {MAX_REPEATS} is supported")
    if key == "pattern" and isinstance(value, str) and len(value) > MAX_PATTERN:
        raise GrammarError(f"a pattern is longer than {MAX_PATTERN} characters")
    if key == "multipleOf" and number and _digits(value) > MAX_MULTIPLE:
        raise GrammarError(f"multipleOf {value} is not supported: too many remainders")


def _digits(value: float) -> int:
    """A number without its decimal point: 0.25 is 25."""
    digits = Decimal(str(value)).as_tuple().digits
    return int("".join(map(str, digits)).rstrip("0")[:9] or "0")


def _walk(root: Any) -> Iterator[tuple[int, str, Any]]:
    """Depth, key (empty in lists) and value of all parts, without recursion."""
    waiting: list[tuple[int, str, Any]] = [(0, "", root)]
    while waiting:
        depth, key, value = waiting.pop()
        yield depth, key, value
        if isinstance(value, dict):
            waiting += [(depth + 1, str(k), v) for k, v in value.items()]
        elif isinstance(value, list):
            waiting += [(depth + 1, "", v) for v in value]


def _raise_error(matcher: Any) -> None:
    if matcher.is_error():
        raise GrammarError(_reason(matcher.get_error()))


def _reason(error: str) -> str:
    """The compiler's words, short; its own codes in plain words."""
    error = re.sub(r"<[a-z-]+/>", "", error).strip()
    if error.startswith("NoExtension"):
        return "nothing can satisfy the schema"
    if error.startswith(("LexerTooComplex", "ParserTooComplex", "Parser Error", "lexer error")):
        return "the schema is too complex"
    return error[:_REASON_CHARS]


def _tokenizer_text(tokenizer: Any) -> str:
    """A fast tokenizer as the JSON of tokenizer.json, tokens added elsewhere included."""
    from copy import deepcopy

    backend = deepcopy(tokenizer.backend_tokenizer)
    backend.no_padding()
    backend.no_truncation()
    text: str = backend.to_str()
    return text
