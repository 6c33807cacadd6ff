from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from PySide6.QtCore import QLocale
from PySide6.QtWidgets import (
    QAbstractButton,
    QApplication,
    QComboBox,
    QGroupBox,
    QLabel,
    QLineEdit,
    QWidget,
)

from app.bootstrap import Deck
from app.pages.registry import PAGES
from app.widgets.labels import ElidedLabel
from core.paths import PROJECT_ROOT

# Names, units and identifiers that are the same in both languages.
SAME_IN_CHINESE = re.compile(
    r"""^(
        DeepDeck(\s[\w.]+)? | DeepDeck\sStarter | SmolLM2.* | deepdeck[-\w]* | English | Qt | Python
        | PyTorch | API(\sv?\d)? | CPU\s.* | GPU\s.* | LlamaForCausalLM | Apache-2\.0 | LicenseRef.*
        | bf16 | fp16 | fp32 | auto | safetensors | gguf | LoRA | AdamW | QPS | HTTP | JSON | CSV
        | PNG | SVG | TTFT | P50 | P99 | EMA | MFU | vLLM | llama\.cpp | transformers | tok/s | curl
        | JavaScript | LangChain | Open\sWebUI | Dify | Cline
        | Debian.* | Ubuntu.* | AMD.* | Intel.* | curl.* | Bearer.*
        | https?://.* | [~/.][\w/.~-]* | [\d\s.,:/%×+–•∞○●▲■-]* (GiB|MiB|KiB|B|M|K|s|ms|°C|tok/s)?
        | [a-z]+(_[a-z]+)+ | q_proj.* | [A-Z]
    )$""",
    re.VERBOSE,
)


def translations_tool() -> ModuleType:
    path = PROJECT_ROOT / "packaging" / "translations.py"
    spec = importlib.util.spec_from_file_location("translations_tool", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def texts_of(root: QWidget) -> list[str]:
    """Everything with letters that a person can read on `root` now, user data excepted."""
    found: list[str] = []
    for widget in root.findChildren(QWidget):
        if not widget.isVisibleTo(root) or widget.property("verbatim"):
            continue
        if isinstance(widget, ElidedLabel):
            found.append(widget.full_text)
        elif isinstance(widget, QLabel | QAbstractButton):
            found.append(widget.text())
        elif isinstance(widget, QGroupBox):
            found.append(widget.title())
        elif isinstance(widget, QComboBox):
            found += [widget.itemText(i) for i in range(widget.count())]
        elif isinstance(widget, QLineEdit):
            found.append(widget.placeholderText())
    return [t.replace("&", "").strip() for t in found if t.strip()]


def english_left(root: QWidget) -> list[str]:
    return [
        t
        for t in texts_of(root)
        if t.isascii() and re.search("[A-Za-z]", t) and not SAME_IN_CHINESE.match(t)
    ]


def wait_for_background(deck: Deck, qtbot) -> None:
    qtbot.waitUntil(lambda: not deck.background.busy, timeout=20_000)


@pytest.mark.parametrize("page_id", [p.page_id for p in PAGES])
def test_no_english_is_left_on_a_page_after_switching_to_chinese(
    deck: Deck, qtbot, page_id: str
) -> None:
    deck.window.show()
    deck.window.navigate(page_id)
    wait_for_background(deck, qtbot)
    english = set(texts_of(deck.window))
    deck.window.ctx.language.set_choice("zh_CN")
    QApplication.sendPostedEvents()
    wait_for_background(deck, qtbot)
    assert english_left(deck.window) == []
    assert set(texts_of(deck.window)) != english


def test_switching_back_to_english_leaves_no_chinese_title(deck: Deck, qtbot) -> None:
    deck.window.show()
    deck.window.navigate("settings")
    deck.window.ctx.language.set_choice("zh_CN")
    QApplication.sendPostedEvents()
    assert deck.window.side_bar.page_name("train") == "训练"
    deck.window.ctx.language.set_choice("en")
    QApplication.sendPostedEvents()
    assert deck.window.side_bar.page_name("train") == "Train"
    assert deck.window.current_page is not None
    assert deck.window.current_page.title_label.full_text == "Settings"


def test_qt_s_own_words_are_chinese_too(deck: Deck) -> None:
    deck.window.ctx.language.set_choice("zh_CN")
    assert QApplication.translate("QPlatformTheme", "Cancel") == "取消"
    assert QLocale().language() == QLocale.Language.Chinese


def test_a_page_that_is_built_after_the_switch_speaks_chinese_at_once(deck: Deck) -> None:
    deck.window.ctx.language.set_choice("zh_CN")
    deck.window.navigate("doctor")
    assert deck.window.current_page is not None
    assert deck.window.current_page.title_label.full_text == "诊断"


@pytest.mark.parametrize("area", ["shell", "train", "serve", "demo"])
def test_every_text_of_an_area_has_a_translation(area: str) -> None:
    assert translations_tool().unfinished(area) == []


@pytest.mark.parametrize("area", ["shell", "train", "serve", "demo"])
def test_the_compiled_translations_are_there_for_every_area_that_has_texts(area: str) -> None:
    tool = translations_tool()
    if tool.ts_file(area).exists():
        assert tool.ts_file(area).with_suffix(".qm").stat().st_size > 100


@pytest.mark.parametrize("area", ["shell", "train", "serve", "demo"])
def test_translations_keep_the_placeholders_of_their_source(area: str) -> None:
    tool = translations_tool()
    if not tool.ts_file(area).exists():
        return
    for message in tool.ET.parse(tool.ts_file(area)).getroot().iter("message"):
        source = message.findtext("source", "")
        translation = message.findtext("translation", "")
        assert sorted(re.findall(r"\{\w*[^}]*\}", source)) == sorted(
            re.findall(r"\{\w*[^}]*\}", translation)
        ), source


def test_no_text_is_hidden_from_the_extractor_in_an_f_string() -> None:
    for file in (PROJECT_ROOT / "app").rglob("*.py"):
        source = file.read_text(encoding="utf-8")
        assert not re.search(r"\.tr\(\s*f[\"']", source), file
        assert not re.search(r"\{self\.tr\(", source), file


def test_every_source_file_belongs_to_exactly_one_area() -> None:
    tool = translations_tool()
    files = [f for area in tool.AREAS for f in tool.sources(area)]
    assert len(files) == len(set(files))
    assert "app/pages/train.py" in tool.sources("train")
    assert "app/main_window.py" in tool.sources("shell")
    assert Path(PROJECT_ROOT / "resources" / "i18n").is_dir()
