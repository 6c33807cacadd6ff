"""Which chat template an answer is asked with: the one that its model was trained with."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

pytest.importorskip("torch")

from core.datasets import Message as TrainedMessage
from core.errors import AppError
from tests.tiny_models import tiny_tokenizer
from workers.serve.http.errors import ApiError
from workers.serve.http.schemas_chat import Message
from workers.serve.text.prompts import MAX_TEMPLATE_BYTES, Conversation, Prompter
from workers.train.chat import FALLBACK_TEMPLATE, ChatRenderer

ASKED = "What <|eos|> is it?"
OTHER = "{{ 'Q:' + messages[-1]['content'] }}"


def a_model(folder: Path, template: str) -> Path:
    tiny_tokenizer(template=template).save_pretrained(folder)
    return folder


def an_adapter(folder: Path, template: str | bytes | None) -> Path:
    folder.mkdir()
    if template is not None:
        data = template.encode() if isinstance(template, str) else template
        (folder / "chat_template.jinja").write_bytes(data)
    return folder


def asked(prompter: Prompter, adapter: str | None) -> list[int]:
    messages = [Message(role="user", content=ASKED)]
    return asyncio.run(prompter.chat(Conversation(messages), adapter)).tokens


def text_of(prompter: Prompter, tokens: list[int]) -> str:
    return "".join(prompter.token_text(t)[0] for t in tokens)


def test_an_adapter_over_a_base_without_template_is_asked_as_in_training(tmp_path: Path) -> None:
    model = a_model(tmp_path / "m", "none")
    prompter = Prompter.load(model, an_adapter(tmp_path / "a", FALLBACK_TEMPLATE))
    trained = ChatRenderer(tiny_tokenizer(template="none"))
    wanted = trained.render((TrainedMessage(role="user", content=ASKED),), ask=True)
    assert text_of(prompter, asked(prompter, "adapter")) == wanted
    # The base beside it answers the same question, so that both can be compared.
    assert asked(prompter, None) == asked(prompter, "adapter")


def test_special_tokens_of_a_message_stay_text_in_the_adapters_template(tmp_path: Path) -> None:
    model = a_model(tmp_path / "m", "none")
    prompter = Prompter.load(model, an_adapter(tmp_path / "a", FALLBACK_TEMPLATE))
    assert tiny_tokenizer().eos_token_id not in asked(prompter, "adapter")


def test_base_and_adapter_with_two_templates_are_each_asked_with_their_own(tmp_path: Path) -> None:
    model = a_model(tmp_path / "m", "plain")
    prompter = Prompter.load(model, an_adapter(tmp_path / "a", OTHER))
    alone = Prompter.load(model)
    assert text_of(prompter, asked(prompter, "adapter")) == f"Q:{ASKED}"
    assert asked(prompter, None) == asked(alone, None)


def test_an_adapter_without_a_template_is_asked_with_the_bases(tmp_path: Path) -> None:
    model = a_model(tmp_path / "m", "plain")
    prompter = Prompter.load(model, an_adapter(tmp_path / "a", None))
    assert asked(prompter, "adapter") == asked(prompter, None)


def test_a_base_with_several_named_templates_keeps_its_default(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = {"default": OTHER, "tool_use": "{{ 1 }}"}
    prompter = Prompter(tokenizer)
    assert text_of(prompter, asked(prompter, None)) == f"Q:{ASKED}"


def test_without_any_template_a_chat_is_refused(tmp_path: Path) -> None:
    model = a_model(tmp_path / "m", "none")
    prompter = Prompter.load(model, an_adapter(tmp_path / "a", None))
    for adapter in ("adapter", None):
        with pytest.raises(ApiError, match="no chat template"):
            asked(prompter, adapter)


@pytest.mark.parametrize("harm", ["{{ ''.__class__.__mro__[1].__subclasses__() }}", "{% if %}"])
def test_an_adapters_template_runs_in_the_same_sandbox(tmp_path: Path, harm: str) -> None:
    model = a_model(tmp_path / "m", "none")
    prompter = Prompter.load(model, an_adapter(tmp_path / "a", harm))
    with pytest.raises(ApiError, match="the chat template refused"):
        asked(prompter, "adapter")


def test_a_template_without_end_is_broken_off_and_the_next_chat_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.serve.text.prompts._TIME_LIMIT_S", 0.3)
    endless = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    prompter = Prompter.load(a_model(tmp_path / "m", "plain"), an_adapter(tmp_path / "a", endless))
    for _ in range(3):
        with pytest.raises(ApiError, match="too long"):
            asked(prompter, "adapter")
    assert asked(prompter, None)


@pytest.mark.parametrize("template", [b" " * (MAX_TEMPLATE_BYTES + 1), b"\xff{{ 1 }}"])
def test_a_template_that_is_huge_or_no_text_is_refused_by_name(
    tmp_path: Path, template: bytes
) -> None:
    model = a_model(tmp_path / "m", "none")
    adapter = an_adapter(tmp_path / "a", template)
    with pytest.raises(AppError) as e:
        Prompter.load(model, adapter)
    assert e.value.code == "file.damaged"
    assert e.value.params["path"] == str(adapter / "chat_template.jinja")
