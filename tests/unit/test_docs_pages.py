"""What the pages for users point at is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from core.config.serve import ServeSpec

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
TRANSLATED = [p for p in PAGES if p.name.endswith(".zh-CN.md")]
MOST_PICTURES_BYTES = 1_600_000
"""Everybody who clones the project loads them."""
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
PATH = re.compile(
    r"`((?:app|core|workers|tests|benchmarks|packaging|docs|resources)/[\w./-]+\.\w+)`"
)
SERVE_LINE = re.compile(r"^deepdeck serve .*--set (.+)$", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_and_named_files_of_a_page_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = [u for u in LINK.findall(text) if not u.startswith(("http", "mailto:"))]
    missing = [u for u in links if not (page.parent / u).exists()]
    assert missing + [p for p in PATH.findall(text) if not (ROOT / p).exists()] == []


@pytest.mark.parametrize("page", TRANSLATED, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_chinese_page_has_the_parts_of_the_english_one(page: Path) -> None:
    english = page.with_name(page.name.replace(".zh-CN.md", ".md"))
    assert english.is_file()
    if page.parent.name == "guide" or page.name.startswith("engines"):
        assert _shape(page) == _shape(english)


def _shape(page: Path) -> tuple[int, ...]:
    text = page.read_text(encoding="utf-8")
    return tuple(
        len(re.findall(p, text, re.MULTILINE)) for p in (r"^##+ ", r"^```", r"^!\[", r"^\|")
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_settings_in_lines_that_serve_are_settings_of_a_server(page: Path) -> None:
    lines = SERVE_LINE.findall(page.read_text(encoding="utf-8"))
    named = {word.partition("=")[0] for line in lines for word in line.split() if "=" in word}
    assert named <= set(ServeSpec.model_fields)


def test_pictures_stay_small() -> None:
    assert sum(p.stat().st_size for p in ROOT.glob("docs/**/*.png")) < MOST_PICTURES_BYTES
