"""Keys for other programs: shown once, limited, revoked."""

from __future__ import annotations

import pytest
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication

from app.bootstrap import Deck
from app.pages.deploy_keys import KeysDialog
from core import api_keys
from core.api_keys import KeyUse
from core.paths import Home
from tests.gui.live_helpers import click
from tests.gui.test_i18n import english_left


@pytest.fixture
def dialog(deck: Deck) -> KeysDialog:
    made = KeysDialog(deck.window.ctx, deck.window)
    made.open()
    return made


def add(dialog: KeysDialog, name: str) -> None:
    dialog.name_line.setText(name)
    click(dialog.add_button)


def cells(dialog: KeysDialog, row: int) -> list[str]:
    return [dialog.table.item(row, column).text() for column in range(6)]


def test_a_new_key_is_shown_once_and_copied_whole(dialog: KeysDialog, home: Home) -> None:
    add(dialog, "cline")
    assert dialog.secret_card.isVisible()
    click(dialog.secret.copy)
    secret = QGuiApplication.clipboard().text()
    assert secret.startswith("dd-")
    assert api_keys.list_keys(home)[0].sha256 == api_keys.digest(secret)
    again = KeysDialog(dialog._ctx)
    assert not again.secret_card.isVisible()
    assert secret not in cells(again, 0)[0]


def test_limits_and_end_are_taken_over(dialog: KeysDialog, home: Home) -> None:
    dialog.end_box.setCurrentIndex(dialog.end_box.findData(30))
    dialog.rate_box.setValue(60)
    dialog.tokens_box.setValue(1_000_000)
    dialog.models_line.setText("base, base:legal")
    add(dialog, "ci")
    key = api_keys.list_keys(home)[0]
    assert (key.requests_per_minute, key.tokens_per_day) == (60, 1_000_000)
    assert key.models == ("base", "base:legal")
    assert key.expires_utc is not None
    assert cells(dialog, 0)[3] == "60 requests/min, 1,000,000 tokens/day"


def test_a_key_needs_a_name_of_its_own(dialog: KeysDialog) -> None:
    add(dialog, "  ")
    assert dialog.rows["name"].error
    add(dialog, "ci")
    add(dialog, "CI")
    assert dialog.error_card.error is not None
    assert dialog.error_card.error.code == "serve.key_invalid"
    assert dialog.table.rowCount() == 1


def test_a_revoked_key_is_gone(dialog: KeysDialog, home: Home) -> None:
    add(dialog, "ci")
    assert not dialog.revoke_button.isEnabled()
    dialog.table.selectRow(0)
    click(dialog.revoke_button)
    assert api_keys.list_keys(home) == ()
    assert not dialog.table.isVisible()
    assert not dialog.secret_card.isVisible()


def test_last_use_is_told(dialog: KeysDialog, home: Home) -> None:
    add(dialog, "ci")
    assert cells(dialog, 0)[5] == "never"
    key = api_keys.list_keys(home)[0]
    api_keys.add_usage(home, {key.id: KeyUse(last_used_utc=1_795_000_000.0, day="2026-11-18")})
    dialog.refresh()
    assert cells(dialog, 0)[5].startswith("2026-11-1")


def test_the_dialog_speaks_chinese(deck: Deck, dialog: KeysDialog) -> None:
    deck.window.ctx.language.set_choice("zh_CN")
    QApplication.sendPostedEvents()
    assert [t for t in english_left(dialog) if t != "token"] == []
