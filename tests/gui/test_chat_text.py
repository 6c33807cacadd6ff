"""A model's words on the page: drawn as Markdown, harmless, and not drawn for every token."""

from __future__ import annotations

import time

import pytest
from PySide6.QtCore import Qt, QUrl
from PySide6.QtGui import QGuiApplication, QInputMethodEvent, QTextDocument
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.bootstrap import Deck
from app.viewmodels.chat_turns import Answer, Column, Turn
from app.widgets.chat_input import ChatInput
from app.widgets.chat_markdown import Piece, pieces_of, prose_source
from app.widgets.chat_text import CodeBlock, MarkdownView, ProseView
from app.widgets.chat_view import ChatView


@pytest.fixture
def markdown(deck: Deck, qtbot: QtBot) -> MarkdownView:
    view = MarkdownView()
    qtbot.addWidget(view)
    view.resize(600, 400)
    view.show()
    return view


def test_code_stands_apart_from_prose_with_its_language() -> None:
    text = "Before\n\n```python title=x\nprint(1)\n\nprint(2)\n```\nAfter\n~~~\n```\n~~~"
    assert pieces_of(text) == [
        Piece("Before"),
        Piece("print(1)\n\nprint(2)", True, "python"),
        Piece("After"),
        Piece("```", True, ""),
    ]


def test_a_fence_that_is_not_closed_yet_is_code_already() -> None:
    assert pieces_of("So:\n```js\nlet a") == [Piece("So:"), Piece("let a", True, "js")]


def test_long_prose_is_cut_where_a_paragraph_begins_and_never_inside_a_list() -> None:
    paragraph = "word " * 200 + "\n\n"
    listed = "1. one\n\n2. two\n\n"
    pieces = pieces_of(paragraph * 2 + listed + "The end")
    assert len(pieces) == 2
    assert pieces[0].text.endswith("2. two")
    assert pieces[1].text == "The end"


def test_formulas_keep_their_backslashes_and_code_keeps_everything() -> None:
    assert prose_source("\\(x\\) and `\\(y\\) ![a](b)`").strip() == (
        "\\\\(x\\\\) and `\\(y\\) ![a](b)`"
    )


def test_headings_lists_and_tables_are_drawn_as_such(markdown: MarkdownView) -> None:
    markdown.show_text("# Title\n\n- one\n- two\n\n| a | b |\n| - | - |\n| 1 | 2 |\n\n**bold**")
    (prose,) = markdown.parts
    assert isinstance(prose, ProseView)
    assert prose.document().begin().blockFormat().headingLevel() == 1
    html = prose.document().toHtml()
    assert "<table" in html
    assert "<li" in html
    assert "**" not in prose.toPlainText()


def test_a_heading_is_larger_than_the_text(markdown: MarkdownView) -> None:
    markdown.show_text("# Title\n\ntext")
    (prose,) = markdown.parts
    assert isinstance(prose, ProseView)
    block = prose.document().begin()
    drawn = block.begin().fragment().charFormat().font().pointSizeF()
    assert drawn == 14.0


def test_tags_are_shown_as_they_were_written(markdown: MarkdownView) -> None:
    markdown.show_text("<b>x</b> <script>alert(1)</script> <img src='http://e/x.png'>")
    assert "<script>alert(1)</script>" in markdown.plain_text()
    assert "<img src='http://e/x.png'>" in markdown.plain_text()


def test_no_picture_is_ever_loaded(markdown: MarkdownView, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    real = ProseView.loadResource
    monkeypatch.setattr(ProseView, "loadResource", lambda *a: (asked.append(a[2]), real(*a))[1])
    markdown.show_text("![cat](http://example.com/cat.png) ![f](file:///etc/passwd)")
    markdown.grab()
    assert asked == []
    (prose,) = markdown.parts
    assert isinstance(prose, ProseView)
    kind = QTextDocument.ResourceType.ImageResource
    assert prose.document().resource(kind.value, QUrl("file:///etc/hostname")) == b" "


def test_a_link_is_copied_not_opened(markdown: MarkdownView) -> None:
    markdown.show_text("[here](https://example.com/a)")
    (prose,) = markdown.parts
    assert isinstance(prose, ProseView)
    prose.anchorClicked.emit(QUrl("https://example.com/a"))
    assert QGuiApplication.clipboard().text() == "https://example.com/a"


def test_code_is_copied_by_its_button(markdown: MarkdownView) -> None:
    markdown.show_text("```sh\nls -l\npwd\n```")
    (block,) = markdown.parts
    assert isinstance(block, CodeBlock)
    block.copy_button.click()
    assert QGuiApplication.clipboard().text() == "ls -l\npwd"


def test_only_the_piece_that_grew_is_drawn_again(markdown: MarkdownView) -> None:
    text = "Intro\n```\na\n```\n"
    markdown.show_text(text)
    before = markdown.drawn
    for n in range(10):
        text += f" word{n}"
        markdown.show_text(text)
    assert markdown.drawn - before == 10
    markdown.show_text(text)
    assert markdown.drawn - before == 10


def test_a_piece_is_as_high_as_its_text(markdown: MarkdownView) -> None:
    markdown.show_text("one line")
    low = markdown.parts[0].height()
    markdown.show_text("word " * 400)
    assert markdown.parts[0].height() > 5 * low


def streaming(qtbot: QtBot, columns: int = 1) -> tuple[ChatView, Turn]:
    view = ChatView()
    qtbot.addWidget(view)
    view.resize(700, 300)
    view.show()
    turn = Turn("q", [Column([Answer("m")]) for _ in range(columns)])
    view.show_turns([turn])
    return view, turn


def test_a_thousand_tokens_are_a_few_redraws(deck: Deck, qtbot: QtBot) -> None:
    view, turn = streaming(qtbot)
    answer = turn.answers[0]
    for n in range(1000):
        answer.text += f" word{n}"
        view.touch()
        if n % 10 == 0:
            QApplication.processEvents()
    qtbot.waitUntil(lambda: view.turns[0].answers[0].text.text == answer.text, timeout=5000)
    assert 1 <= view.draws < 200


def test_the_end_stays_in_view_until_the_reader_scrolls_up(deck: Deck, qtbot: QtBot) -> None:
    view, turn = streaming(qtbot)
    bar = view.verticalScrollBar()
    turn.answers[0].text = "line\n\n" * 100
    view.touch()
    qtbot.waitUntil(lambda: bar.maximum() > 500 and bar.value() == bar.maximum())
    bar.setValue(100)
    turn.answers[0].text += "line\n\n" * 100
    before = bar.maximum()
    view.touch()
    qtbot.waitUntil(lambda: bar.maximum() > before)
    assert bar.value() == 100
    assert view.down_button.isVisible()
    view.down_button.click()
    qtbot.waitUntil(lambda: bar.value() == bar.maximum())
    assert view.following


def test_a_thought_is_folded_opened_by_a_click_and_says_how_long(deck: Deck, qtbot: QtBot) -> None:
    view, turn = streaming(qtbot)
    answer = turn.answers[0]
    answer.reasoning, answer.reasoning_tokens = "Let me see", 3
    answer.first_s = time.monotonic() - 2.5
    view.turns[0].refresh()
    thought = view.turns[0].answers[0].thought
    assert not thought.frame.isVisible()
    assert "Thinking" in thought.button.text()
    assert "2 s · 3 tokens" in thought.button.text()
    answer.text, answer.thought_end_s = "So", answer.first_s + 2.0
    view.turns[0].refresh()
    assert thought.button.text() == "Thought for 2.0 s · 3 tokens"
    thought.button.click()
    qtbot.waitUntil(thought.frame.isVisible)
    assert thought.text.text() == "Let me see"
    assert thought.text.textFormat() == Qt.TextFormat.PlainText


def test_two_answers_stand_under_each_other_in_a_narrow_window(deck: Deck, qtbot: QtBot) -> None:
    view, _ = streaming(qtbot, columns=2)
    view.resize(900, 400)
    left, right = view.turns[0].answers
    qtbot.waitUntil(lambda: left.y() == right.y() and left.x() < right.x())
    view.resize(480, 400)
    qtbot.waitUntil(lambda: left.x() == right.x() and left.y() < right.y())


def test_enter_sends_shift_enter_breaks_and_composing_keeps_enter(deck: Deck, qtbot: QtBot) -> None:
    field = ChatInput()
    qtbot.addWidget(field)
    sent: list[str] = []
    field.submitted.connect(lambda: sent.append(field.toPlainText()))
    field.setPlainText("a")
    qtbot.keyClick(field, Qt.Key.Key_Return, Qt.KeyboardModifier.ShiftModifier)
    assert sent == []
    assert "\n" in field.toPlainText()
    QApplication.sendEvent(field, QInputMethodEvent("ni", []))
    assert field.composing
    qtbot.keyClick(field, Qt.Key.Key_Return)
    assert sent == []
    ended = QInputMethodEvent("", [])
    ended.setCommitString("你")
    QApplication.sendEvent(field, ended)
    qtbot.keyClick(field, Qt.Key.Key_Return)
    assert len(sent) == 1
    assert "你" in sent[0]
