from __future__ import annotations

import re
from itertools import product

import pytest
from PySide6.QtGui import QPalette
from PySide6.QtWidgets import QApplication

from app.bootstrap import Deck
from app.theme import icons, style_sheet
from app.theme.contrast import MINIMUM_FOR_TEXT, contrast
from app.theme.palette import make_palette
from app.theme.tokens import Scheme, Tokens, load_tokens
from app.widgets.buttons import Button

SCHEMES: list[Scheme] = ["light", "dark"]
SURFACES = ("background", "side_bar", "card", "raised")
TEXTS = ("text", "muted", "accent", "ok", "warning", "error")
TONES = ("accent", "ok", "warning", "error")


@pytest.mark.parametrize(("scheme", "text", "surface"), list(product(SCHEMES, TEXTS, SURFACES)))
def test_text_can_be_read_on_every_surface(scheme: Scheme, text: str, surface: str) -> None:
    tokens = load_tokens(scheme)
    assert contrast(getattr(tokens, text), getattr(tokens, surface)) >= MINIMUM_FOR_TEXT


@pytest.mark.parametrize(("scheme", "tone"), list(product(SCHEMES, TONES)))
def test_text_can_be_read_on_the_surface_of_each_tone(scheme: Scheme, tone: str) -> None:
    tokens = load_tokens(scheme)
    behind = getattr(tokens, f"{tone}_background")
    for text in ("text", "muted", tone):
        assert contrast(getattr(tokens, text), behind) >= MINIMUM_FOR_TEXT


@pytest.mark.parametrize("scheme", SCHEMES)
def test_text_can_be_read_on_a_filled_button_also_while_hovered(scheme: Scheme) -> None:
    tokens = load_tokens(scheme)
    assert contrast(tokens.on_accent, tokens.accent) >= MINIMUM_FOR_TEXT
    assert contrast(tokens.on_accent, tokens.accent_hover) >= MINIMUM_FOR_TEXT


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast("#000000", "#FFFFFF") == pytest.approx(21.0)
    assert contrast("#777777", "#FFFFFF") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_style_sheet_leaves_no_placeholder_open(scheme: Scheme) -> None:
    sheet = style_sheet.make_style_sheet(load_tokens(scheme))
    assert "@" not in sheet
    assert load_tokens(scheme).accent in sheet


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_picture_of_the_style_sheet_exists(scheme: Scheme) -> None:
    sheet = style_sheet.make_style_sheet(load_tokens(scheme))
    pictures = re.findall(r'url\("([^"]+)"\)', sheet)
    assert pictures
    for picture in pictures:
        assert icons.ICONS.joinpath(picture.rsplit("/", 1)[1]).is_file()


def test_series_colors_differ_from_each_other_in_both_schemes() -> None:
    for scheme in SCHEMES:
        series = load_tokens(scheme).series
        assert len(set(series)) == len(series) == 6


def test_the_palette_follows_the_tokens() -> None:
    tokens = load_tokens("dark")
    palette = make_palette(tokens)
    assert palette.color(QPalette.ColorRole.Window).name().upper() == tokens.background


def test_switching_the_scheme_reaches_the_palette_and_says_so(
    deck: Deck, qapp: QApplication
) -> None:
    heard: list[str] = []
    theme = deck.window.ctx.theme
    theme.changed.connect(lambda: heard.append(theme.scheme))
    theme.set_preference("dark")
    assert heard == ["dark"]
    window_color = qapp.palette().color(QPalette.ColorRole.Window).name().upper()
    assert window_color == load_tokens("dark").background


def test_switching_to_the_scheme_that_is_on_says_nothing(deck: Deck) -> None:
    heard: list[int] = []
    deck.window.ctx.theme.changed.connect(lambda: heard.append(1))
    deck.window.ctx.theme.set_preference("light")
    assert heard == []


def middle_colors(button: Button) -> set[str]:
    image = button.icon().pixmap(32, 32).toImage()
    return {
        image.pixelColor(x, y).name().upper()
        for x in range(image.width())
        for y in range(image.height())
        if image.pixelColor(x, y).alpha() == 255
    }


def test_an_icon_takes_the_colors_of_the_new_scheme(deck: Deck, qtbot) -> None:
    button = Button("Stop", "danger", "stop")
    qtbot.addWidget(button)
    light: Tokens = load_tokens("light")
    assert light.error in middle_colors(button)
    deck.window.ctx.theme.set_preference("dark")
    assert load_tokens("dark").error in middle_colors(button)
    assert light.error not in middle_colors(button)
