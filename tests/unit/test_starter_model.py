"""The bundled starter model loads, keeps text whole, masks answers and writes readable text."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2] / "resources" / "models" / "deepdeck-starter"
HAN = re.compile(r"[\u4e00-\u9fff]")
TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello!"},
    {"role": "user", "content": "你好"},
    {"role": "assistant", "content": "你好！"},
]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    transformers = pytest.importorskip("transformers")
    return transformers.AutoTokenizer.from_pretrained(ROOT, local_files_only=True)


@pytest.fixture(scope="module")
def model() -> Any:
    pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    return transformers.AutoModelForCausalLM.from_pretrained(ROOT, local_files_only=True).eval()


def ask(model: Any, tokenizer: Any, question: str, **options: Any) -> str:
    torch = pytest.importorskip("torch")
    inputs = tokenizer.apply_chat_template(
        [{"role": "user", "content": question}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    torch.manual_seed(0)
    with torch.no_grad():
        output = model.generate(**inputs, max_new_tokens=90, **options)[0]
    return str(tokenizer.decode(output[inputs["input_ids"].shape[1] :], skip_special_tokens=True))


def test_the_folder_is_small_and_safe() -> None:
    files = {path.name: path.stat().st_size for path in ROOT.iterdir()}
    assert sum(files.values()) <= 15.5 * 2**20
    assert {"model.safetensors", "config.json", "generation_config.json", "tokenizer.json"} <= set(
        files
    )
    assert {"tokenizer_config.json", "chat_template.jinja", "README.md", "LICENSE"} <= set(files)
    assert not [name for name in files if name.endswith((".bin", ".pt", ".pkl"))]


def test_the_architecture_is_that_of_deepseek_llm() -> None:
    config = json.loads((ROOT / "config.json").read_text(encoding="utf-8"))
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert config["hidden_act"] == "silu"
    assert config["tie_word_embeddings"]
    assert config["max_position_embeddings"] == 1024
    assert not config["attention_bias"]
    assert not config["mlp_bias"]


def test_it_has_about_seven_million_bf16_parameters(model: Any) -> None:
    torch = pytest.importorskip("torch")
    assert 7.0e6 <= sum(p.numel() for p in model.parameters()) <= 7.5e6
    assert model.dtype == torch.bfloat16


@pytest.mark.parametrize(
    "text",
    [
        "What does os.path.join do?  Two  spaces.",
        "你好，世界！今天天气怎么样？",
        "Mixed 中文 and English, 12345, naïve café",
        "emoji 😀🎉 and 𝒳 are bytes\n\tindented\n",
        "",
    ],
)
def test_every_text_survives_a_round_trip(tokenizer: Any, text: str) -> None:
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == text


def test_the_vocabulary_knows_both_languages(tokenizer: Any) -> None:
    english = "Once upon a time, there was a little girl in a small house."
    chinese = "从前，有一个善良的孩子，住在河边的小房子里。"
    assert len(tokenizer(english)["input_ids"]) < len(english) / 3
    assert len(tokenizer(chinese)["input_ids"]) < len(chinese)
    assert 6000 <= len(tokenizer) <= 8192


def test_special_tokens_are_single_and_not_confused_with_text(tokenizer: Any) -> None:
    for token in ("<｜User｜>", "<｜Assistant｜>", tokenizer.bos_token, tokenizer.eos_token):
        assert len(tokenizer(token, add_special_tokens=False)["input_ids"]) == 1
    assert len({tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id}) == 3


def test_the_template_writes_the_family_format(tokenizer: Any) -> None:
    text = tokenizer.apply_chat_template(TALK[:2], tokenize=False, add_generation_prompt=True)
    assert text == "<｜begin▁of▁sentence｜>Be brief.<｜User｜>Hi<｜Assistant｜>"
    whole = tokenizer.apply_chat_template(TALK, tokenize=False)
    assert whole.startswith(text)
    assert whole.count("<｜end▁of▁sentence｜>") == 2


def test_the_mask_holds_exactly_the_answers_and_their_end(tokenizer: Any) -> None:
    rendered = tokenizer.apply_chat_template(
        TALK, return_dict=True, return_assistant_tokens_mask=True
    )
    pairs = zip(rendered["input_ids"], rendered["assistant_masks"], strict=True)
    kept = tokenizer.decode([token for token, mask in pairs if mask])
    assert kept == "Hello!<｜end▁of▁sentence｜>你好！<｜end▁of▁sentence｜>"


def test_it_says_who_it_is_in_both_languages(model: Any, tokenizer: Any) -> None:
    assert "DeepDeck" in ask(model, tokenizer, "Who are you?", do_sample=False)
    answer = ask(model, tokenizer, "你是谁？", do_sample=False)
    assert "DeepDeck" in answer
    assert HAN.search(answer)


def test_it_knows_simple_facts(model: Any, tokenizer: Any) -> None:
    assert "Paris" in ask(model, tokenizer, "What is the capital of France?", do_sample=False)
    assert "巴黎" in ask(model, tokenizer, "法国的首都是哪里？", do_sample=False)


@pytest.mark.parametrize("question", ["Tell me a short story.", "How do I make tea?", "Hello!"])
def test_english_answers_are_readable_sentences(model: Any, tokenizer: Any, question: str) -> None:
    answer = ask(model, tokenizer, question, do_sample=True, temperature=0.7)
    words = re.findall(r"[A-Za-z']+", answer)
    assert len(words) >= 4
    assert sum(bool(re.fullmatch(r"[A-Z]?[a-z']+|I|A", word)) for word in words) > 0.9 * len(words)
    assert re.search(r"[.!?]", answer)
    assert not HAN.search(answer)


@pytest.mark.parametrize("question", ["讲个故事。", "怎么泡茶？", "你好！"])
def test_chinese_answers_are_chinese(model: Any, tokenizer: Any, question: str) -> None:
    answer = ask(model, tokenizer, question, do_sample=True, temperature=0.7)
    assert len(HAN.findall(answer)) > 0.6 * len(answer)
    assert "\ufffd" not in answer


def test_an_answer_ends_by_itself(model: Any, tokenizer: Any) -> None:
    assert len(ask(model, tokenizer, "Thank you!", do_sample=False)) < 60
