"""Answers that obey a schema, whatever the model would rather say; schemas that hurt nobody."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.tiny_models import EOS, VOCABULARY, build_tiny, tiny_tokenizer
from workers.serve.engines.base import SamplingParams
from workers.serve.native.sampling import grammar
from workers.serve.native.sampling.grammar import GrammarError, Grammars, RowGrammar
from workers.serve.native.sampling.sampler import Sampler

STARTER = Path(__file__).parents[2] / "resources" / "models" / "deepdeck-starter"
WARM = SamplingParams(max_new_tokens=400, temperature=1.0, seed="1")
END = 2


class NoEnd(AssertionError):
    """The answer is longer than the test waits for."""


@pytest.fixture(scope="module")
def grammars() -> Grammars:
    tokenizer = tiny_tokenizer()
    assert tokenizer.eos_token_id == END
    return Grammars(tokenizer, VOCABULARY, [END])


def random_logits(step: int, seed: int) -> torch.Tensor:
    numbers = torch.Generator().manual_seed(1000 * seed + step)
    return 3.0 * torch.randn(1, VOCABULARY, generator=numbers)


def write(
    grammars: Grammars,
    text: str,
    seed: int = 0,
    steps: int = 600,
    logits: Callable[[int, int], torch.Tensor] = random_logits,
) -> list[int]:
    """What a model of random logits writes under a grammar, its end token left out."""
    row = grammars.compile(text).result()
    masks = np.full((2, grammars.words), -1, dtype=np.int32)
    sampler = Sampler(VOCABULARY, 1, "cpu")
    sampler.join(0, WARM, [], seed=seed)
    slot, tokens = torch.tensor([0]), []
    for step in range(steps):
        row.fill(masks, 1)
        sampled = sampler.sample(logits(step, seed), slot, torch.from_numpy(masks[1:]))
        token = int(sampled.tokens)
        if token == END:
            assert row.complete
            return tokens
        row.accept(token)
        tokens.append(token)
    raise NoEnd(f"no end: {tiny_tokenizer().decode(tokens)[-300:]!r}")


def text_of(tokens: list[int]) -> str:
    decoded: str = tiny_tokenizer().decode(tokens, clean_up_tokenization_spaces=False)
    return decoded


def is_person(value: Any) -> bool:
    return (
        list(value) == ["name", "age", "address"]
        and isinstance(value["name"], str)
        and len(value["name"]) <= 8
        and 0 <= value["age"] <= 150
        and list(value["address"]) == ["city", "numbers"]
        and value["address"]["city"] in ("北京", "Zürich", "Paris")
        and 2 <= len(value["address"]["numbers"]) <= 4
        and all(isinstance(n, int) for n in value["address"]["numbers"])
    )


SMALL = {"type": "integer", "minimum": -99, "maximum": 99}
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "address": {
            "type": "object",
            "properties": {
                "city": {"enum": ["北京", "Zürich", "Paris"]},
                "numbers": {"type": "array", "items": SMALL, "minItems": 2, "maxItems": 4},
            },
            "required": ["city", "numbers"],
            "additionalProperties": False,
        },
    },
    "required": ["name", "age", "address"],
    "additionalProperties": False,
}
TREE = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "value": SMALL,
                "children": {
                    "type": "array", "items": {"$ref": "#/$defs/node"}, "maxItems": 1,
                },
            },
            "required": ["value", "children"],
            "additionalProperties": False,
        }
    },
    "$ref": "#/$defs/node",
}  # fmt: skip


def is_tree(value: Any) -> bool:
    return -99 <= value["value"] <= 99 and all(is_tree(child) for child in value["children"])


SCHEMAS: list[tuple[Any, Callable[[Any], bool]]] = [
    (PERSON, is_person),
    (TREE, is_tree),
    ({"enum": ["yes", "no", 3, None, True]}, lambda v: v in ("yes", "no", 3, None, True)),
    ({"anyOf": [{"type": "boolean"}, {"type": "null"}]}, lambda v: v in (True, False, None)),
    ({"type": "string", "pattern": "^[a-c]{3}-\\d{2}$"}, lambda v: len(v) == 6 and v[3] == "-"),
    ({"type": "string", "format": "date"}, lambda v: len(v.split("-")) == 3),
    (
        {"type": "array", "items": {"type": "string", "minLength": 3, "maxLength": 3},
         "minItems": 1, "maxItems": 3},
        lambda v: 1 <= len(v) <= 3 and all(len(s) == 3 for s in v),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "holds"), SCHEMAS)
def test_a_random_model_answers_in_the_form_of_the_schema(
    grammars: Grammars, schema: Any, holds: Callable[[Any], bool]
) -> None:
    for seed in range(4):
        assert holds(json.loads(text_of(write(grammars, json.dumps(schema), seed))))


def test_a_tiny_model_itself_answers_in_the_form_of_the_schema(
    grammars: Grammars, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(build_tiny(tmp_path / "m")).eval()
    tokens: list[int] = [1]

    @torch.inference_mode()
    def logits(step: int, _: int) -> torch.Tensor:
        found: torch.Tensor = model(input_ids=torch.tensor([tokens])).logits[:, -1]
        return found

    class Noting(RowGrammar):
        def accept(self, token: int) -> None:
            super().accept(token)
            tokens.append(token)

    row = grammars.compile(json.dumps(PERSON)).result()
    row.__class__ = Noting
    masks = np.full((1, grammars.words), -1, dtype=np.int32)
    sampler = Sampler(VOCABULARY, 1, "cpu")
    sampler.join(0, WARM, [])
    while not row.stopped:
        row.fill(masks, 0)
        found = sampler.sample(logits(0, 0), torch.tensor([0]), torch.from_numpy(masks))
        row.accept(int(found.tokens))
    assert is_person(json.loads(text_of(tokens[1:])))


def test_any_json_object_is_one(grammars: Grammars) -> None:
    def closing(step: int, seed: int) -> torch.Tensor:
        """Random, but it likes quotes and closing brackets: objects of an end."""
        logits = random_logits(step, seed)
        for text in '"}],:':
            logits[0, tiny_tokenizer().convert_tokens_to_ids(text)] += 8.0
        return logits

    for seed in range(6):
        value = json.loads(text_of(write(grammars, "json_object", seed, logits=closing)))
        assert isinstance(value, dict)


def test_only_the_end_token_follows_a_complete_answer(grammars: Grammars) -> None:
    row = grammars.compile('{"const": 7}').result()
    row.accept(tiny_tokenizer().convert_tokens_to_ids("7"))
    masks = np.zeros((1, grammars.words), dtype=np.int32)
    row.fill(masks, 0)
    allowed = np.nonzero(np.unpackbits(masks.view(np.uint8), bitorder="little"))[0]
    assert row.complete
    assert allowed.tolist() == [END]
    row.accept(END)


def test_an_answer_cannot_go_on_with_blanks_for_ever(grammars: Grammars) -> None:
    blanks = [i for i in range(VOCABULARY) if text_of([i]) and not text_of([i]).strip()]
    assert len(blanks) > 2

    def dull(step: int, seed: int) -> torch.Tensor:
        logits = random_logits(step, seed)
        logits[0, blanks] += 50.0
        return logits

    schema = {"type": "array", "items": {"type": "boolean"}, "maxItems": 3}
    answer = text_of(write(grammars, json.dumps(schema), logits=dull))
    assert len(json.loads(answer)) <= 3


def test_indented_and_compact_json_are_both_allowed(grammars: Grammars) -> None:
    value = {"a": 1, "b": [True, {}]}
    for style in ({"indent": 2}, {"indent": "\t"}, {"separators": (",", ":")}, {}):
        row = grammars.compile("json_object").result()
        row.accept_all(tiny_tokenizer().encode(json.dumps(value, **style))[1:])
        assert row.complete


def test_thousands_of_properties_may_be_left_out(grammars: Grammars) -> None:
    schema = {"type": "object", "properties": {f"k{i}": {"type": "null"} for i in range(3000)}}
    row = grammars.compile(json.dumps(schema)).result()
    row.accept_all(tiny_tokenizer().encode('{"k7": null, "k2999": null}')[1:])
    assert row.complete


def test_a_token_that_was_not_allowed_is_refused(grammars: Grammars) -> None:
    row = grammars.compile("json_object").result()
    with pytest.raises(GrammarError):
        row.accept(tiny_tokenizer().convert_tokens_to_ids("x"))
    with pytest.raises(GrammarError):
        row.fill(np.zeros((1, grammars.words), dtype=np.int32), 0)


def test_two_answers_of_one_grammar_do_not_disturb_each_other(grammars: Grammars) -> None:
    text = json.dumps({"enum": ["aa", "bb"]})
    one, other = (grammars.compile(text).result() for _ in range(2))
    for row, word in ((one, "aa"), (other, "bb")):
        row.accept_all(tiny_tokenizer().encode(f'"{word}"')[1:])
        assert row.complete


def test_logits_wider_than_the_tokenizer_are_masked_too() -> None:
    wide = Grammars(tiny_tokenizer(), 1000, [END])
    assert wide.words == 32
    masks = np.full((1, wide.words), -1, dtype=np.int32)
    wide.compile("json_object").result().fill(masks, 0)
    allowed = np.nonzero(np.unpackbits(masks.view(np.uint8), bitorder="little"))[0]
    assert 0 < len(allowed) < 50
    assert allowed.max() < len(tiny_tokenizer())


def test_every_end_token_of_a_model_may_end_an_answer() -> None:
    both = Grammars(tiny_tokenizer(), VOCABULARY, [END, 0])
    row = both.compile('{"const": 7}').result()
    row.accept(tiny_tokenizer().convert_tokens_to_ids("7"))
    masks = np.zeros((1, both.words), dtype=np.int32)
    row.fill(masks, 0)
    allowed = np.nonzero(np.unpackbits(masks.view(np.uint8), bitorder="little"))[0]
    assert allowed.tolist() == [0, END]


def test_the_starter_models_own_tokenizer_works() -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(STARTER)
    found = Grammars.load(STARTER, 50_000, [tokenizer.eos_token_id])
    row = found.compile(json.dumps(PERSON)).result()
    answer = '{"name": "李", "age": 3, "address": {"city": "北京", "numbers": [1, 2]}}'
    row.accept_all(tokenizer.encode(answer, add_special_tokens=False))
    assert row.stopped


def byte_level(pattern: str | None, specials: list[str]) -> Any:
    """A byte-level BPE that splits as Qwen's and DeepSeek's do, with their added tokens."""
    from tokenizers import AddedToken, Regex, Tokenizer, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer.from_str(tiny_tokenizer().backend_tokenizer.to_str())
    bytes_only = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    if pattern:
        split = pre_tokenizers.Split(Regex(pattern), "isolated")
        bpe.pre_tokenizer = pre_tokenizers.Sequence([split, bytes_only])
    bpe.add_tokens([AddedToken(s, special=False) for s in specials])
    return PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token="<|bos|>", eos_token=EOS)


FUNCTIONS = [
    {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"enum": ["Rom", "上海"], "format": "town"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
    {"name": "now"},
]
DEEPSEEK_TAGS = [
    "<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>",
    "<｜tool▁calls▁end｜>",
]  # fmt: skip
CALLS = {
    "qwen": '<tool_call>\n{"name": "weather", "arguments": {"city": "上海"}}\n</tool_call>\n'
    '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>',
    "llama": '{"name": "weather", "parameters": {"city": "Rom"}}',
    "json": '{"name": "now", "arguments": {"zone": 1}}',
    "deepseek": "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>weather\n"
    '```json\n{"city": "Rom"}\n```<｜tool▁call▁end｜>\n'
    "<｜tool▁call▁begin｜>function<｜tool▁sep｜>now\n"
    "```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
    "deepseek_v31": "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>weather<｜tool▁sep｜>"
    '{"city": "上海"}<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
}


@pytest.mark.parametrize("as_tokens", [True, False])
@pytest.mark.parametrize("style", CALLS)
def test_calls_of_functions_are_written_in_the_models_own_notation(
    style: Any, as_tokens: bool
) -> None:
    tags = ["<tool_call>", "</tool_call>", *DEEPSEEK_TAGS] if as_tokens else []
    tokenizer = byte_level(r"\p{L}+|\p{N}{1,3}|[^\s\p{L}\p{N}]+|\s+", tags)
    text = grammar.for_tools(FUNCTIONS, style)
    grammar.check(text)
    found = Grammars(tokenizer, len(tokenizer), [END])
    row = found.compile(text).result()
    row.accept_all(tokenizer.encode(CALLS[style], add_special_tokens=False))
    assert row.complete
    wrong = found.compile(text).result()
    bad = CALLS[style].replace("weather", "whether").replace("now", "never")
    with pytest.raises(GrammarError):
        wrong.accept_all(tokenizer.encode(bad, add_special_tokens=False))


@pytest.mark.parametrize("as_token", [True, False])
def test_a_thought_may_go_before_the_answer(as_token: bool) -> None:
    tokenizer = byte_level(None, ["</think>"] if as_token else [])
    text = grammar.after_thought(json.dumps({"enum": ["yes", "no"]}))
    grammar.check(text)
    row = Grammars(tokenizer, len(tokenizer), [END]).compile(text).result()
    row.accept_all(tokenizer.encode('Hm, {"a": 1}?\nWell.\n', add_special_tokens=False))
    assert not row.complete
    row.accept_all(tokenizer.encode('</think>\n\n"yes"', add_special_tokens=False))
    assert row.complete
    assert row.stopped


def nested(levels: int) -> str:
    return '{"type":"object","properties":{"a":' * levels + "{}" + "}}" * levels


HOSTILE = {
    "deep": nested(10_000),
    "deep but small": nested(900),
    "endless reference": json.dumps({"$ref": "#"}),
    "references in a ring": json.dumps(
        {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}
    ),
    "huge enum": json.dumps({"enum": [f"value {i}" for i in range(100_000)]}),
    "many choices": json.dumps({"enum": list(range(6000))}),
    "remainders": json.dumps({"multipleOf": 999_983}),
    "repeats": json.dumps({"type": "array", "minItems": 10**9}),
    "file": json.dumps({"$ref": "file:///etc/passwd"}),
    "address": json.dumps({"$ref": "http://localhost/schema.json"}),
    "broken pattern": json.dumps({"type": "string", "pattern": "(((("}),
    "look-ahead": json.dumps({"type": "string", "pattern": "(?=a)b"}),
    "long pattern": json.dumps({"type": "string", "pattern": "a?" * 4000}),
    "products": json.dumps(
        {"allOf": [{"anyOf": [{"type": "object", "properties": {f"{i}{j}": {}}}
                              for j in range(8)]} for i in range(8)]}
    ),
    "impossible": json.dumps({"type": "integer", "minimum": 5, "maximum": 3}),
    "unknown type": json.dumps({"type": "objct"}),
    "not a schema": "[]",
    "torn": '{"type": "obj',
    "half a character": '{"const": "\\ud800"}',
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_schema_that_cannot_be_worked_with_is_refused_with_a_reason(name: str) -> None:
    with pytest.raises(GrammarError) as refused:
        grammar.check(HOSTILE[name])
    assert 0 < len(str(refused.value)) <= 300


COSTLY = {
    "nested repeats": {"type": "string", "pattern": "^((a{0,1000}){0,1000}){0,1000}$"},
    "exponential automaton": {"type": "string", "pattern": "(x|y)*x(x|y){30}"},
    "many": {"type": "string", "pattern": "^" + "(a|b|ab)*" * 100 + "$"},
    "lists of lists": {
        "type": "array", "minItems": 9000,
        "items": {"type": "array", "minItems": 9000, "items": {"type": "integer"}},
    },
    "widening": {
        "$defs": {
            **{f"d{i}": {"type": "array", "prefixItems": [{"$ref": f"#/$defs/d{i + 1}"}] * 10}
               for i in range(20)},
            "d20": {"type": "integer"},
        },
        "$ref": "#/$defs/d0",
    },
}  # fmt: skip


@pytest.mark.timeout(60)  # minutes to hours without limits
@pytest.mark.parametrize("name", COSTLY)
def test_each_step_of_a_costly_schema_is_bounded(grammars: Grammars, name: str) -> None:
    """Whether the answer ends, goes on or becomes too complex: others are not kept waiting."""
    with suppress(GrammarError, NoEnd):
        write(grammars, json.dumps(COSTLY[name]), steps=60)
    assert text_of(write(grammars, '{"const": 7}')) == "7"


def test_a_clients_options_for_the_compiler_do_not_count(grammars: Grammars) -> None:
    schema = {"const": [1], "x-guidance": {"whitespace_pattern": "[ \\n]*", "lenient": True}}
    row = grammars.compile(json.dumps(schema)).result()
    with pytest.raises(GrammarError):
        row.accept_all(tiny_tokenizer().encode("[" + 9 * " ")[1:])


def test_the_front_checks_grammars_without_torch() -> None:
    code = (
        "import sys; from workers.serve.native.sampling import grammar; "
        "grammar.check('json_object'); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
