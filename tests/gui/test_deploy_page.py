"""The Deploy page over a real server process."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import httpx
import pytest
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QLineEdit
from pytestqt.qtbot import QtBot

pytest.importorskip("torch")

from app.bootstrap import Deck
from app.pages.deploy import DeployPage
from core.config.serve import ServeSpec
from core.paths import Home
from tests.gui.serve_helpers import START_MS, add_tiny, end_all, page


@pytest.fixture
def deploy(deck: Deck, home: Home, qtbot: QtBot) -> Iterator[DeployPage]:
    add_tiny(home)
    shown = page(deck, "deploy")
    assert isinstance(shown, DeployPage)
    deck.bridge.start()
    yield shown
    end_all(deck, qtbot)


def choose_tiny(deploy: DeployPage) -> None:
    box = deploy.form.what.model_box
    box.setCurrentIndex(box.findData("tiny"))


def start(deploy: DeployPage, qtbot: QtBot) -> None:
    choose_tiny(deploy)
    deploy.form.reach.port_box.setValue(0)
    deploy.start_button.click()
    qtbot.waitUntil(lambda: deploy.model.state == "ready", timeout=START_MS)


def test_one_button_starts_and_stops_the_api(deploy: DeployPage, qtbot: QtBot) -> None:
    assert deploy.form.isVisible()
    assert not deploy.toggle_button.isVisible()
    start(deploy, qtbot)
    assert deploy.live.tabs.isVisible()
    assert deploy.chip.accessibleName() == "ready"
    address = deploy.live.connect_view.access.address.text
    health = address.removesuffix("/v1") + "/health"
    assert httpx.get(health).json()["ready"] is True
    assert deploy.toggle_button.accessibleName() == "Stop"
    deploy.toggle_button.click()
    qtbot.waitUntil(lambda: deploy.model.state == "ended", timeout=30_000)
    with pytest.raises(httpx.ConnectError):
        httpx.get(health)
    assert deploy.toggle_button.accessibleName() == "Start again"
    assert not deploy.live.tabs.buttons["connect"].isVisible()
    deploy.form_button.click()
    assert deploy.form.isVisible()


def test_requests_and_figures_come_in_live(deploy: DeployPage, qtbot: QtBot) -> None:
    start(deploy, qtbot)
    headers = {"Authorization": f"Bearer {deploy.live.connect_view.access.key.text}"}
    body = {"prompt": "Hello", "max_tokens": 5}
    for _ in range(3):
        answer = httpx.post(
            f"{deploy.live.connect_view.access.address.text}/completions",
            json=body,
            headers=headers,
        )
        assert answer.status_code == 200
    qtbot.waitUntil(lambda: deploy.live.requests.rows.rowCount() == 3, timeout=10_000)
    qtbot.waitUntil(lambda: len(deploy.model.series.qps) > 0, timeout=10_000)
    qtbot.waitUntil(
        lambda: deploy.live.figures.tiles["p99"].stat.value.endswith("ms"), timeout=10_000
    )
    assert deploy.live.requests.rows.index(0, 3).data() == "completions"


def test_the_key_is_masked_and_copied_whole(deploy: DeployPage, qtbot: QtBot) -> None:
    start(deploy, qtbot)
    key = deploy.ctx.services.serve.api_key()
    view = deploy.live.connect_view
    assert view.access.key.line.echoMode() == QLineEdit.EchoMode.Password
    view.access.key.copy.click()
    assert QGuiApplication.clipboard().text() == key
    view.snippets.copy_button.click()
    line = QGuiApplication.clipboard().text()
    assert line.startswith("curl http://127.0.0.1:")
    assert key in line
    assert key not in view.snippets.text.toPlainText()


def test_a_taken_port_is_a_red_card_that_leaves_the_form(deploy: DeployPage, qtbot: QtBot) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        choose_tiny(deploy)
        deploy.form.reach.port_box.setValue(taken.getsockname()[1])
        deploy.start_button.click()
        qtbot.waitUntil(lambda: deploy.error_card.error is not None, timeout=10_000)
    assert deploy.error_card.error is not None
    assert deploy.error_card.error.code == "serve.port_in_use"
    assert deploy.form.isVisible()


def test_a_server_that_dies_is_told_with_its_code(deploy: DeployPage, qtbot: QtBot) -> None:
    import os
    import signal

    start(deploy, qtbot)
    assert deploy.model.view is not None
    assert deploy.model.view.pid is not None
    os.kill(deploy.model.view.pid, signal.SIGKILL)
    qtbot.waitUntil(lambda: deploy.model.state == "failed", timeout=30_000)
    assert deploy.error_card.error is not None
    assert deploy.error_card.error.code == "worker.lost"
    assert deploy.toggle_button.accessibleName() == "Start again"


def test_a_living_server_is_found_by_a_page_that_opens_later(
    deck: Deck, home: Home, qtbot: QtBot
) -> None:
    add_tiny(home)
    services = deck.window.ctx.services
    services.serve.start(ServeSpec(model="tiny", port=0, device="cpu"))
    deck.bridge.start()
    try:
        shown = page(deck, "deploy")
        assert isinstance(shown, DeployPage)
        qtbot.waitUntil(lambda: shown.model.state == "ready", timeout=START_MS)
        assert shown.live.isVisible()
    finally:
        end_all(deck, qtbot)


def test_every_word_changes_with_the_language(deploy: DeployPage, deck: Deck, qtbot: QtBot) -> None:
    assert deploy.form.start_button.text() == "Start the API"
    deck.window.ctx.language.set_choice("zh_CN")
    qtbot.waitUntil(lambda: deploy.form.start_button.text() == "启动 API")
    assert deploy.title_label.full_text == "本地 API"
