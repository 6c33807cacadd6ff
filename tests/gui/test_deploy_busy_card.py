"""A training and a server want one card: nothing happens without the user's word."""

from __future__ import annotations

from typing import Any

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.bootstrap import Deck
from app.pages.deploy import DeployPage
from app.pages.train import TrainPage
from core.config.serve import ServeSpec
from core.config.train import TrainSpec
from core.hardware import GpuSample
from core.paths import Home
from core.planning import shape_of
from core.protocol.events import CommandAcknowledged
from core.runlog.run_dir import RunDir
from core.services import serve_forecast
from core.services.serve_arbiter import Conflict, Holder, ServeArbiter
from core.services.serve_forecast import ServeSource
from tests.gui.live_helpers import click, sent
from tests.gui.serve_helpers import page
from tests.gui.serve_scenes import append, busy, write_server
from tests.gui.test_i18n import english_left
from tests.gui.written_runs import begun, write_run
from tests.tiny_models import build_tiny
from tests.unit.test_planning_shapes import R1_QWEN_7B
from tests.unit.test_serve_arbiter import Cards

HOLDER = Holder("t1", "train", "law", frozenset({"cuda:0"}), 15.2)
CONFLICT = Conflict("cuda:0", (HOLDER,), 24.0, 16.3, 4.6,
                    {"max_context_tokens": 8192, "max_batch_size": 4},
                    ("share", "pause", "wait"))  # fmt: skip


@pytest.fixture
def training(home: Home) -> RunDir:
    return write_run(home, begun(), alive=True)


@pytest.fixture
def deploy(deck: Deck, home: Home, monkeypatch: pytest.MonkeyPatch) -> DeployPage:
    """The form on a machine with one card of 24 GiB; starting is noted, not done."""
    build_tiny(home.models / "tiny", "llama")
    monkeypatch.setattr(serve_forecast, "torch_has_cuda", lambda: True)
    card = GpuSample(0, "RTX", memory_used_gib=10.0, memory_total_gib=24.0,
                     compute_capability=(8, 9))  # fmt: skip
    arbiter = deck.window.ctx.services.arbiter
    monkeypatch.setattr(arbiter, "_gpus", lambda: Cards(card))
    monkeypatch.setattr(arbiter, "_source", lambda _spec: ServeSource(shape_of(R1_QWEN_7B)))
    shown = page(deck, "deploy")
    assert isinstance(shown, DeployPage)
    started: list[ServeSpec] = []
    monkeypatch.setattr(shown, "_start", started.append)
    shown.started = started  # type: ignore[attr-defined]
    return shown


def started(deploy: DeployPage) -> list[ServeSpec]:
    return list(deploy.started)  # type: ignore[attr-defined]


def ask(deploy: DeployPage, qtbot: QtBot, **values: Any) -> None:
    for name, value in values.items():
        box = getattr(deploy.form.how, f"{name}_box")
        box.setCurrentIndex(box.findData(value))
    deploy.form.advanced.boxes["max_context_tokens"].setValue(131_072)
    click(deploy.start_button)
    qtbot.waitUntil(lambda: not deploy.ctx.background.busy)
    QApplication.processEvents()


def answer(deploy: DeployPage, choice: str) -> None:
    dialog = deploy.question.dialog
    assert dialog is not None
    dialog.choose(choice)  # type: ignore[arg-type]
    click(dialog.go_button)


def tell(deck: Deck, run: RunDir, **values: Any) -> None:
    command = CommandAcknowledged(
        command="pause", in_reply_to=sent(run)[-1]["command_id"], **values
    )
    append(run, [command])
    deck.bridge.tick()
    deck.bridge.tick()


def test_an_empty_card_is_taken_without_a_question(deploy: DeployPage, qtbot: QtBot) -> None:
    ask(deploy, qtbot)
    assert deploy.question.dialog is None
    assert len(started(deploy)) == 1


def test_a_training_on_the_card_is_named_and_nothing_starts(
    deploy: DeployPage, training: RunDir, qtbot: QtBot
) -> None:
    ask(deploy, qtbot)
    dialog = deploy.question.dialog
    assert dialog is not None
    assert "law" in dialog.heading.text()
    assert "of 24.0 GiB on GPU 0" in dialog.facts.text()
    click(dialog.cancel_button)
    assert started(deploy) == []
    assert not training.control.exists()


def test_sharing_starts_with_a_smaller_context_and_says_so_before(
    deploy: DeployPage, training: RunDir, qtbot: QtBot
) -> None:
    ask(deploy, qtbot, precision="4bit")
    dialog = deploy.question.dialog
    assert dialog is not None
    told = dialog.helps["share"]
    answer(deploy, "share")
    spec = started(deploy)[0]
    assert 0 < spec.max_context_tokens < 131_072
    assert f"{spec.max_context_tokens:,} tokens" in told
    assert not training.control.exists()


def test_a_paused_training_gives_the_card_free_before_anything_starts(
    deck: Deck, deploy: DeployPage, training: RunDir, qtbot: QtBot
) -> None:
    ask(deploy, qtbot)
    answer(deploy, "pause")
    assert [(c["kind"], c["free_gpu"]) for c in sent(training)] == [("pause", True)]
    assert deploy.form.pending.isVisible()
    assert started(deploy) == []
    tell(deck, training)
    qtbot.waitUntil(lambda: len(started(deploy)) == 1)
    assert not deploy.form.pending.isVisible()


def test_a_training_that_cannot_leave_the_card_stops_the_start_and_says_why(
    deck: Deck, deploy: DeployPage, training: RunDir, qtbot: QtBot
) -> None:
    ask(deploy, qtbot)
    answer(deploy, "pause")
    tell(deck, training, accepted=False, detail="several_processes")
    assert deploy.question.clearing is None
    assert any("pause it in place" in t for t in deck.window.notice_bar.texts)
    assert started(deploy) == []
    assert [c["kind"] for c in sent(training)] == ["pause"]  # it was never paused


def test_giving_up_lets_the_training_go_on(
    deploy: DeployPage, training: RunDir, qtbot: QtBot
) -> None:
    ask(deploy, qtbot)
    answer(deploy, "pause")
    click(deploy.form.pending.cancel_button)
    assert [c["kind"] for c in sent(training)] == ["pause", "continue"]
    assert deploy.start_button.isEnabled()
    assert started(deploy) == []


def test_an_ended_api_offers_to_let_the_paused_training_go_on(
    deck: Deck, deploy: DeployPage, training: RunDir, home: Home
) -> None:
    deploy.question.paused = [Holder(training.run_id, "train", "law", frozenset({"cuda:0"}))]
    server = write_server(home, "busy", busy(5), alive=False)
    deploy.show_server(server.run_id)
    for _ in range(50):
        deck.bridge.tick()
    assert any("was paused for the API" in t for t in deck.window.notice_bar.texts)


def test_a_waiting_server_stands_in_the_queue_and_can_be_taken_out(
    deploy: DeployPage, training: RunDir, qtbot: QtBot
) -> None:
    ask(deploy, qtbot)
    answer(deploy, "wait")
    queue = deploy.ctx.services.queue
    assert [(i.job, i.state) for i in queue.read().items] == [("serve", "waiting")]
    assert deploy.form.pending.isVisible()
    assert "waits in the queue" in deploy.form.pending.accessibleName()
    click(deploy.form.pending.cancel_button)
    assert queue.read().items == ()
    assert not deploy.form.pending.isVisible()


def test_a_training_before_a_server_asks_on_the_train_page(
    deck: Deck, home: Home, monkeypatch: pytest.MonkeyPatch, qtbot: QtBot
) -> None:
    server = write_server(home, "busy", busy(5))
    shown = page(deck, "train")
    assert isinstance(shown, TrainPage)
    begun_with: list[object] = []
    monkeypatch.setattr(shown, "_begin", begun_with.append)
    conflict = Conflict(
        "cuda:0", (Holder(server.run_id, "serve", "chat", frozenset({"cuda:0"}), 19.0),),
        24.0, 20.0, 12.0, {}, ("pause", "wait"),
    )  # fmt: skip
    plan = type("Plan", (), {"spec": TrainSpec(model="m", data="d")})()
    shown._start_checked(plan, conflict)  # type: ignore[arg-type]
    dialog = shown.question.dialog
    assert dialog is not None
    assert list(dialog.buttons) == ["pause", "wait"]
    assert "Stop the API" in dialog.buttons["pause"].text()
    click(dialog.go_button)
    assert [c["kind"] for c in sent(server)] == ["stop"]
    assert begun_with == []
    monkeypatch.setattr(ServeArbiter, "gone", lambda _self, _run_id: True)
    qtbot.waitUntil(lambda: begun_with == [plan])


@pytest.mark.parametrize("for_training", [False, True])
def test_the_question_is_asked_in_chinese_too(deck: Deck, for_training: bool) -> None:
    from app.pages.deploy_busy import BusyDialog

    deck.window.ctx.language.set_choice("zh_CN")
    dialog = BusyDialog(CONFLICT, for_training=for_training, parent=deck.window)
    assert english_left(dialog) == []
