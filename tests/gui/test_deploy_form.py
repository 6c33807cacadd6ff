"""The form of a server: what appears when, what it makes of it, what the memory says."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.bootstrap import Deck
from app.pages.deploy import DeployPage
from app.pages.deploy_form import DeployForm
from core.config.serve import ServeSpec
from core.hardware import GpuSample
from core.paths import Home
from core.planning import shape_of
from core.services import serve_forecast
from core.services.serve_forecast import ServeSource
from tests.gui.live_helpers import click
from tests.gui.serve_helpers import page
from tests.gui.test_i18n import english_left
from tests.tiny_models import build_tiny
from tests.unit.test_planning_shapes import R1_QWEN_7B
from tests.unit.test_serve_arbiter import Cards


@pytest.fixture
def deploy(deck: Deck, home: Home) -> DeployPage:
    build_tiny(home.models / "tiny", "llama")
    shown = page(deck, "deploy")
    assert isinstance(shown, DeployPage)
    return shown


@pytest.fixture
def form(deploy: DeployPage) -> DeployForm:
    deploy.form.start_asked.disconnect()  # what it would start is seen, nothing is started
    return deploy.form


def choose(box: object, value: str) -> None:
    box.setCurrentIndex(box.findData(value))  # type: ignore[attr-defined]


def on_a_card(
    deploy: DeployPage, monkeypatch: pytest.MonkeyPatch, total_gib: float, used_gib: float = 0.5
) -> None:
    monkeypatch.setattr(serve_forecast, "torch_has_cuda", lambda: True)
    card = GpuSample(0, "RTX", memory_used_gib=used_gib, memory_total_gib=total_gib,
                     compute_capability=(8, 9))  # fmt: skip
    arbiter = deploy.ctx.services.arbiter
    monkeypatch.setattr(arbiter, "_gpus", lambda: Cards(card))
    monkeypatch.setattr(arbiter, "_source", lambda _spec: ServeSource(shape_of(R1_QWEN_7B)))


def forecast(deploy: DeployPage, qtbot: QtBot) -> None:
    deploy.form.forecast.ask()
    qtbot.waitUntil(lambda: not deploy.ctx.background.busy)
    QApplication.processEvents()


def test_the_untouched_form_is_the_spec_with_its_defaults(form: DeployForm) -> None:
    usual = ServeSpec(model="tiny", port=form.reach.port_box.value())
    assert ServeSpec.parse(form.values() | {"model": "tiny"}) == usual


def test_choosers_of_an_engine_appear_with_it_alone(form: DeployForm) -> None:
    rows = form.how.rows
    assert rows["vllm_python"].isHidden()
    assert rows["llama_server"].isHidden()
    choose(form.how.engine_box, "vllm")
    assert not rows["vllm_python"].isHidden()
    assert not rows["tensor_parallel"].isHidden()
    assert rows["llama_server"].isHidden()
    choose(form.how.engine_box, "llama_cpp")
    assert rows["vllm_python"].isHidden()
    assert not rows["llama_server"].isHidden()


def test_every_engine_and_precision_says_when_it_fits(form: DeployForm) -> None:
    for box, key in ((form.how.engine_box, "engine"), (form.how.precision_box, "precision")):
        said = set()
        for number in range(box.count()):
            box.setCurrentIndex(number)
            said.add(form.how.rows[key]._help_label.text())
        assert len(said) == box.count()
        assert all(said)


def test_an_engine_without_its_program_is_marked_and_not_started(form: DeployForm) -> None:
    asked: list[ServeSpec] = []
    form.start_asked.connect(asked.append)
    choose(form.how.engine_box, "vllm")
    click(form.start_button)
    assert form.how.rows["vllm_python"].error
    assert asked == []
    form.how.vllm_python.line.setText("/opt/vllm/bin/python")
    click(form.start_button)
    assert [s.vllm_python for s in asked] == ["/opt/vllm/bin/python"]


def test_values_of_an_engine_that_was_left_are_not_taken_along(form: DeployForm) -> None:
    choose(form.how.engine_box, "vllm")
    form.how.parallel_box.setValue(4)
    choose(form.how.engine_box, "native")
    assert "tensor_parallel" not in form.values()


def test_several_adapters_are_taken_the_first_one_by_default(
    form: DeployForm, tmp_path: Path
) -> None:
    for name in ("law", "medicine"):
        form.what.picker.add_folder(str(tmp_path / name))
    values = form.values()
    assert values["adapter"] == str(tmp_path / "law")
    assert values["adapters"] == (str(tmp_path / "medicine"),)
    form.what.picker.boxes[str(tmp_path / "law")].setChecked(False)
    assert form.values()["adapter"] == str(tmp_path / "medicine")


def test_opening_it_to_the_network_warns_before_the_start(form: DeployForm) -> None:
    assert not form.reach.exposure.isVisible()
    choose(form.reach.reach_box, "network")
    assert form.reach.exposure.isVisible()
    assert form.values()["host"] == "0.0.0.0"
    choose(form.reach.reach_box, "other")
    form.reach.host_line.setText("127.0.0.2")
    assert form.values()["host"] == "127.0.0.2"
    assert not form.reach.exposure.isVisible()


def test_names_are_listed_with_commas(form: DeployForm) -> None:
    form.reach.origins_line.setText("http://localhost:3000, http://a.example ,")
    assert form.values()["allowed_origins"] == ["http://localhost:3000", "http://a.example"]


def test_a_name_or_origin_that_could_never_match_is_marked_with_what_is_expected(
    form: DeployForm,
) -> None:
    started: list[object] = []
    form.start_asked.connect(started.append)
    rows = form.reach.rows
    form.reach.hosts_line.setText("my-box.lan, http://other.lan/v1")
    form.reach.origins_line.setText("*")
    click(form.start_button)
    assert started == []
    assert "without http://" in rows["allowed_hosts"].error
    assert "http://localhost:3000" in rows["allowed_origins"].error
    assert form.advanced.isVisibleTo(form)  # the two stand there
    assert not rows["allowed_hosts"].visibleRegion().isEmpty()  # and the form scrolled to them
    form.reach.hosts_line.setText("my-box.lan, [fd00::1], 192.168.1.7:8000")
    form.reach.origins_line.setText("http://localhost:3000, app://obsidian.md")
    click(form.start_button)
    assert len(started) == 1


def test_a_server_that_fits_shows_its_parts_against_the_line(
    deploy: DeployPage, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_a_card(deploy, monkeypatch, 24.0)
    forecast(deploy, qtbot)
    card = deploy.form.forecast
    assert "It fits" in card.verdict.text()
    assert any("bf16" in name for name, _ in card.parts.texts)
    assert "85 %" in card.where.text()
    assert card.parts.bar._limit == pytest.approx(24 * 0.85)
    assert card.buttons == {}


def test_a_server_that_does_not_fit_offers_what_would_help(
    deploy: DeployPage, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_a_card(deploy, monkeypatch, 12.0)
    choose(deploy.form.how.precision_box, "bf16")
    forecast(deploy, qtbot)
    card = deploy.form.forecast
    assert "does not fit" in card.verdict.text()
    assert list(card.buttons) == ["precision=8bit", "precision=4bit", "cpu_offload=True"]
    click(card.buttons["precision=4bit"])
    assert deploy.form.values()["precision"] == "4bit"
    forecast(deploy, qtbot)
    assert "It fits" in card.verdict.text()


def test_a_share_that_is_changed_moves_the_line(
    deploy: DeployPage, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_a_card(deploy, monkeypatch, 24.0)
    deploy.form.advanced.boxes["memory_share"].setValue(70)
    forecast(deploy, qtbot)
    assert deploy.form.forecast.plan is not None
    assert deploy.form.forecast.plan.room.budget_gib == pytest.approx(24 * 0.7 - 0.5)


def test_every_field_of_the_spec_can_be_reached_or_follows_from_one(form: DeployForm) -> None:
    choose(form.how.engine_box, "vllm")
    fields = set(form.values())
    choose(form.how.engine_box, "llama_cpp")
    fields |= set(form.values())
    assert set(ServeSpec.model_fields) - fields == set()


@pytest.mark.parametrize("engine", ["auto", "vllm", "llama_cpp"])
def test_no_english_is_left_in_the_chinese_form(
    deck: Deck, deploy: DeployPage, engine: str
) -> None:
    deploy.form.advanced_button.setChecked(True)
    choose(deploy.form.how.engine_box, engine)
    choose(deploy.form.reach.reach_box, "network")
    deck.window.ctx.language.set_choice("zh_CN")
    QApplication.sendPostedEvents()
    assert [t for t in english_left(deploy) if t != "token"] == []


def test_a_small_window_shows_all_of_the_form(deck: Deck, deploy: DeployPage) -> None:
    deck.window.resize(1024, 700)
    deploy.form.advanced_button.setChecked(True)
    choose(deploy.form.how.engine_box, "vllm")
    QApplication.processEvents()
    body = deploy.scroll_area.widget()
    assert body.minimumSizeHint().width() <= deploy.scroll_area.viewport().width()
