"""Kept conversations: their files, their search, what they are exported as."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path

import pytest

from core.chats import (
    ChatStore,
    Conversation,
    SavedAnswer,
    SavedColumn,
    SavedTurn,
    as_json,
    as_markdown,
    as_training,
    thinking_switch,
)
from core.chats.conversation import new_chat_id, title_of
from core.datasets import open_dataset, read_samples
from core.errors import AppError
from core.paths import Home


def column(*texts: str, model: str = "r1", finish: str = "stop", **more: object) -> SavedColumn:
    versions = tuple(
        SavedAnswer.model_validate({"model": model, "text": t, "finish": finish, **more})
        for t in texts
    )
    return SavedColumn(versions=versions, shown=len(texts) - 1)


def chat(**more: object) -> Conversation:
    turns = (
        SavedTurn(question="What is 2+2?", columns=(column("five", "four", reasoning="hm\n\nhm"),)),
        SavedTurn(question="Sure?", columns=(column("yes"),)),
    )
    values = {"chat_id": new_chat_id(), "title": "Sums", "system": "Be brief.", "turns": turns}
    return Conversation.model_validate(values | more)


def test_what_was_saved_is_read_again_whole(home: Home) -> None:
    store, kept = ChatStore(home), chat()
    store.save(kept)
    assert ChatStore(home).load(kept.chat_id) == kept


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_only_the_owner_may_read_a_conversation(home: Home) -> None:
    store, kept = ChatStore(home), chat()
    store.save(kept)
    mode = (home.chats / f"{kept.chat_id}.json").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


def test_the_list_is_newest_first_and_a_damaged_file_hides_no_other(home: Home) -> None:
    store = ChatStore(home)
    store.save(chat(chat_id="old", updated_utc=1.0))
    store.save(chat(chat_id="new", updated_utc=2.0))
    (home.chats / "torn.json").write_text('{"title": "x', encoding="utf-8")
    (home.chats / "list.json").write_text("[1]", encoding="utf-8")
    store.save_prompts({"short": "Be brief."})
    assert [c.chat_id for c in store.list()] == ["new", "old"]


def test_search_finds_words_of_questions_answers_and_models_in_any_order(home: Home) -> None:
    store = ChatStore(home)
    store.save(chat())
    (found,) = store.list()
    assert found.matches("FOUR r1 2+2")
    assert not found.matches("four nothing")


def test_a_renamed_conversation_keeps_its_place_and_its_name(home: Home) -> None:
    store, kept = ChatStore(home), chat(updated_utc=5.0)
    store.save(kept)
    store.rename(kept.chat_id, " Arithmetic ")
    (found,) = store.list()
    assert (found.title, found.updated_utc) == ("Arithmetic", 5.0)
    assert store.load(kept.chat_id).named


def test_a_deleted_conversation_can_be_saved_again(home: Home) -> None:
    store, kept = ChatStore(home), chat()
    store.save(kept)
    gone = store.delete(kept.chat_id)
    assert store.list() == []
    store.save(gone)
    assert store.load(kept.chat_id) == kept


@pytest.mark.parametrize("chat_id", ["../secrets/api_key", "", ".system-prompts", "a/b", "x" * 65])
def test_no_name_leads_out_of_the_folder(home: Home, chat_id: str) -> None:
    with pytest.raises(AppError):
        ChatStore(home).load(chat_id)


def test_a_file_of_a_newer_program_is_read_as_far_as_it_is_known(home: Home) -> None:
    home.chats.mkdir(parents=True)
    text = json.dumps({"v": 9, "title": "T", "color": "red", "turns": [{"question": "q"}]})
    (home.chats / "later.json").write_text(text, encoding="utf-8")
    found = ChatStore(home).load("later")
    assert (found.title, found.turns[0].question) == ("T", "q")


def test_saved_prompts_are_kept_by_name(home: Home) -> None:
    ChatStore(home).save_prompts({"律师": "你是律师。"})
    assert ChatStore(home).prompts() == {"律师": "你是律师。"}


def test_markdown_has_the_shown_versions_and_quotes_thoughts() -> None:
    text = as_markdown(chat())
    assert "## Question\n\nWhat is 2+2?" in text
    assert "> hm\n>\n> hm" in text
    assert "four" in text
    assert "five" not in text


def test_json_has_every_version() -> None:
    assert Conversation.model_validate_json(as_json(chat())).turns[0].columns[0].versions[0].text


def test_training_data_is_what_the_data_page_opens(tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    path.write_text(as_training(chat()), encoding="utf-8")
    (sample,) = read_samples(open_dataset(path).train[0])
    assert [(m.role, m.content) for m in sample.messages] == [
        ("system", "Be brief."),
        ("user", "What is 2+2?"),
        ("assistant", "four"),
        ("user", "Sure?"),
        ("assistant", "yes"),
    ]


def test_models_side_by_side_are_a_sample_each() -> None:
    both = SavedTurn(question="q", columns=(column("a"), column("b", model="r1:tuned")))
    lines = as_training(chat(turns=(both,))).splitlines()
    assert [json.loads(line)["messages"][-1]["content"] for line in lines] == ["a", "b"]


@pytest.mark.parametrize("finish", ["length", "stopped", "broken"])
def test_an_answer_that_is_not_complete_teaches_nothing(finish: str) -> None:
    cut = SavedTurn(question="q", columns=(column("half an ans", finish=finish),))
    assert as_training(chat(turns=(cut,))) == ""


def test_a_title_is_the_first_line_of_the_question_cut_short() -> None:
    assert title_of("\n  Why?\nBecause") == "Why?"
    assert title_of("x" * 200).endswith("…")
    assert len(title_of("x" * 200)) == 60


@pytest.mark.parametrize(
    ("template", "switch"),
    [
        ("{%- if enable_thinking is defined and enable_thinking is false %}x{% endif %}",
         "enable_thinking"),
        ("{% if not thinking is defined %}{% set thinking = false %}{% endif %}", "thinking"),
        ("{{ messages[0].content }}<think>\n", None),
        ("{# this model likes thinking aloud #}{{ x }}", None),
    ],
)  # fmt: skip
def test_the_switch_for_thinking_is_read_from_the_template(
    tmp_path: Path, template: str, switch: str | None
) -> None:
    (tmp_path / "chat_template.jinja").write_text(template, encoding="utf-8")
    assert thinking_switch(tmp_path) == switch


def test_a_template_inside_the_tokenizer_s_settings_counts_too(tmp_path: Path) -> None:
    settings = {"chat_template": "{% if enable_thinking %}<think>{% endif %}"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    assert thinking_switch(tmp_path) == "enable_thinking"
    assert thinking_switch(tmp_path / "nowhere") is None
