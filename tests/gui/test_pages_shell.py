from __future__ import annotations

import json
import os
import shutil
import struct
from pathlib import Path

import pytest
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication, QLabel, QWidget

from app.bootstrap import Deck
from app.pages.data import DataPage
from app.pages.doctor import DoctorPage
from app.pages.models import ModelsPage
from app.pages.overview import OverviewPage
from app.pages.settings import SettingsPage
from app.pages.setup import SetupPage
from app.widgets.conversation import SampleCard
from app.widgets.finding_row import FindingRow
from app.widgets.run_row import RunRow
from core.errors import AppError, ErrorCode
from core.paths import STARTER_MODEL, Home
from core.protocol.events import DownloadProgress, PhaseChanged, RunFinished, RunStarted, TrainStep
from core.runlog.run_dir import RunDir
from core.runlog.writer import EventWriter
from core.services.doctor import Finding
from core.supervisor.identity import ProcessIdentity


def settle(deck: Deck, qtbot) -> None:
    QApplication.processEvents()
    qtbot.waitUntil(lambda: not deck.background.busy, timeout=20_000)


def open_page(deck: Deck, qtbot, page_id: str, **args: object) -> QWidget:
    deck.window.show()
    deck.window.navigate(page_id, **args)
    settle(deck, qtbot)
    page = deck.window.current_page
    assert page is not None
    return page


def labels(root: QWidget) -> str:
    return "\n".join(w.text() for w in root.findChildren(QLabel) if w.isVisibleTo(root))


# overview


def finished_run(home: Home, name: str, loss: float) -> str:
    run = RunDir.create(
        home.runs,
        f"20260101-000000-train-{name}-0001",
        {"v": 1, "job": "train", "name": name, "spec": {}, "created_utc": 1.0},
    )
    with EventWriter(run.events, run.run_id) as writer:
        writer.write(RunStarted(job="train"))
        writer.write(TrainStep(step=3, loss=loss))
        writer.write(RunFinished(outcome="completed", reason="completed"))
    return run.run_id


def test_an_empty_overview_says_that_nothing_runs_and_what_to_do_next(deck: Deck, qtbot) -> None:
    page = open_page(deck, qtbot, "overview")
    assert isinstance(page, OverviewPage)
    assert "Nothing is running." in labels(page)
    assert page.train_step.button.isVisible()


def test_the_overview_lists_the_last_run_and_opens_it(deck: Deck, qtbot, home: Home) -> None:
    run_id = finished_run(home, "law", 2.5)
    page = open_page(deck, qtbot, "overview")
    rows = page.findChildren(RunRow)
    assert len(rows) == 1
    assert "law" in labels(rows[0])
    assert "2.5" in labels(rows[0])
    opened: list[tuple[str, str]] = []
    rows[0].opened.connect(lambda *args: opened.append(args))
    rows[0]._button.click()
    assert opened == [(run_id, "train")]
    assert deck.window.current_page is deck.window.pages["train"]


def test_a_run_that_goes_on_keeps_its_row_and_the_focus(deck: Deck, qtbot, home: Home) -> None:
    finished_run(home, "law", 2.5)
    page = open_page(deck, qtbot, "overview")
    assert isinstance(page, OverviewPage)
    row = page.findChildren(RunRow)[0]
    page._list_runs()
    assert page.findChildren(RunRow) == [row]


def test_the_overview_tells_the_machine_in_plain_words(deck: Deck, qtbot) -> None:
    page = open_page(deck, qtbot, "overview")
    qtbot.waitUntil(lambda: "cores" in labels(page))  # read beside the window


# models


@pytest.fixture
def models(deck: Deck, qtbot) -> ModelsPage:
    page = open_page(deck, qtbot, "models")
    assert isinstance(page, ModelsPage)
    return page


def test_the_bundled_model_is_ready_and_the_catalogue_s_can_be_fetched(models: ModelsPage) -> None:
    models.list.choose("deepdeck-starter")
    assert models.details.train_button.isVisible()
    assert not models.details.fetch_button.isVisible()
    models.list.choose("smollm2-135m-instruct")
    assert models.details.fetch_button.isVisible()
    assert not models.details.train_button.isVisible()


def test_fine_tune_and_deploy_lead_to_their_pages_with_the_model(
    deck: Deck, models: ModelsPage
) -> None:
    went: list[tuple[str, dict[str, object]]] = []
    object.__setattr__(models.ctx, "navigate", lambda page, **args: went.append((page, args)))
    models.list.choose("deepdeck-starter")
    models.details.train_button.click()
    models.details.deploy_button.click()
    assert went == [
        ("train", {"model": "deepdeck-starter"}),
        ("deploy", {"model": "deepdeck-starter"}),
    ]


def test_a_folder_is_added_and_chosen(
    deck: Deck, models: ModelsPage, qtbot, tmp_path: Path
) -> None:
    mine = tmp_path / "my model"
    shutil.copytree(STARTER_MODEL, mine)
    models.add(mine)
    settle(deck, qtbot)
    settle(deck, qtbot)
    assert models.details.model is not None
    assert models.details.model.path == mine
    assert models.details.forget_button.isVisible()


def test_a_folder_without_a_model_shows_an_error_card_with_a_hint(
    deck: Deck, models: ModelsPage, qtbot, tmp_path: Path
) -> None:
    models.add(tmp_path / "nothing here")
    settle(deck, qtbot)
    assert models.error_card.isVisible()
    assert models.error_card.error is not None
    assert models.error_card.error.code == "model.not_found"


def test_truncated_weights_are_shown_as_a_problem_of_that_model_only(
    deck: Deck, qtbot, home: Home
) -> None:
    cut = home.models / "cut"
    shutil.copytree(STARTER_MODEL, cut)
    weights = next(cut.glob("*.safetensors"))
    header = struct.unpack("<Q", weights.read_bytes()[:8])[0]
    weights.write_bytes(weights.read_bytes()[: 8 + header + 100])
    page = open_page(deck, qtbot, "models", model="cut")
    assert isinstance(page, ModelsPage)
    assert page.chosen == "cut"
    assert page.details.problem.isVisible()
    assert page.details.problem.error is not None
    assert page.details.problem.error.code == "model.weights_damaged"
    assert not page.details.train_button.isVisible()
    page.list.choose("deepdeck-starter")
    assert not page.details.problem.isVisible()


def test_verify_says_when_all_files_are_whole(deck: Deck, models: ModelsPage, qtbot) -> None:
    models.list.choose("deepdeck-starter")
    models.details.verify_button.click()
    settle(deck, qtbot)
    assert deck.window.notice_bar.texts == ["All files are whole."]


def test_a_fetch_shows_how_much_has_arrived(deck: Deck, models: ModelsPage, home: Home) -> None:
    run = RunDir.create(
        home.runs,
        "20260101-000000-fetch-x-0001",
        {"v": 1, "job": "fetch", "spec": {"model": "smollm2-135m-instruct"}, "created_utc": 1.0},
    )
    with EventWriter(run.events, run.run_id) as writer:
        writer.write(RunStarted(job="fetch"))
        writer.write(PhaseChanged(phase="downloading"))
        writer.write(DownloadProgress(file="w", bytes_done=2**20, bytes_total=4 * 2**20))
    own = ProcessIdentity.of(os.getpid())
    run.process_json.write_text(
        json.dumps({"pid": own.pid, "create_time": own.create_time, "executable": own.executable}),
        encoding="utf-8",
    )
    deck.window.ctx.services.supervisor.attach(run.run_id)
    models.list.choose("smollm2-135m-instruct")
    deck.bridge.tick()
    assert models.details.progress.isVisible()
    assert models.details.progress.value() == 250
    assert "1.0 MiB / 4.0 MiB" in models.details.progress_text.text()
    assert models.details.cancel_button.isVisible()
    deck.window.ctx.services.supervisor.detach(run.run_id)


# data


@pytest.fixture
def data(deck: Deck, qtbot) -> DataPage:
    page = open_page(deck, qtbot, "data")
    assert isinstance(page, DataPage)
    return page


def test_the_bundled_dataset_shows_counts_and_samples_as_conversation(data: DataPage) -> None:
    assert data.strip.stats["train"].value != "–"
    cards = data.findChildren(SampleCard)
    assert cards
    assert "Question" in labels(cards[0])
    assert "Answer, trained" in labels(cards[0])


def test_choosing_another_split_shows_its_samples(data: DataPage) -> None:
    before = labels(data._samples_card)
    data.split_box.setCurrentIndex(data.split_box.findData("robustness"))
    assert labels(data._samples_card) != before


def test_fine_tune_with_this_leads_to_train_with_the_dataset(data: DataPage) -> None:
    went: list[tuple[str, dict[str, object]]] = []
    object.__setattr__(data.ctx, "navigate", lambda page, **args: went.append((page, args)))
    data.train_button.click()
    assert went == [("train", {"data": data.list.chosen_id})]


def test_a_file_with_a_broken_line_names_the_line_and_offers_no_training_by_mistake(
    deck: Deck, data: DataPage, qtbot, tmp_path: Path
) -> None:
    file = tmp_path / "mine.jsonl"
    good = json.dumps({"instruction": "a", "output": "b"})
    file.write_text(f"{good}\n{good}\n{{broken\n{good}\n", encoding="utf-8")
    data.add(file)
    settle(deck, qtbot)
    assert data.problem.isVisible()
    assert data.problem.error is not None
    assert data.problem.error.code == "data.bad_json"
    assert data.problem.error.params["line"] == 3


def test_a_file_that_is_no_data_shows_why(
    deck: Deck, data: DataPage, qtbot, tmp_path: Path
) -> None:
    file = tmp_path / "empty.jsonl"
    file.write_text("", encoding="utf-8")
    data.add(file)
    settle(deck, qtbot)
    assert data.problem.error is not None
    assert data.problem.error.code == "data.empty"
    assert not data.train_button.isEnabled()


def test_an_added_dataset_is_remembered_and_can_be_taken_off_the_list(
    deck: Deck, data: DataPage, qtbot, tmp_path: Path
) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text(json.dumps({"text": "hello"}) + "\n", encoding="utf-8")
    data.add(file)
    settle(deck, qtbot)
    assert deck.window.ctx.settings.value.data_paths == (str(file),)
    assert data.forget_button.isVisible()
    data.forget_button.click()
    assert deck.window.ctx.settings.value.data_paths == ()
    assert file.exists()


# doctor and setup


def test_the_doctor_lists_every_finding_with_what_is_wrong_first(deck: Deck, qtbot) -> None:
    page = open_page(deck, qtbot, "doctor")
    assert isinstance(page, DoctorPage)
    assert len(page.findChildren(FindingRow)) == len(page.findings) > 5


def test_a_broken_finding_shows_its_fix_and_the_chip_says_so(deck: Deck, qtbot) -> None:
    page = open_page(deck, qtbot, "doctor")
    assert isinstance(page, DoctorPage)
    page._checked(
        [
            Finding(id="python", level="ok", params={"version": "3.11.7"}),
            Finding(id="python", level="broken", params={"version": "3.9.1"}),
        ]
    )
    QApplication.processEvents()
    assert "Install Python 3.11" in labels(page)
    assert page.chip.text().endswith("needs you")
    assert page.strip.stats["broken"].value == "1"


def test_copied_diagnostics_hold_every_finding_and_not_the_home_folder(
    deck: Deck, qtbot, monkeypatch
) -> None:
    page = open_page(deck, qtbot, "doctor")
    assert isinstance(page, DoctorPage)
    monkeypatch.setattr(Path, "home", lambda: deck.window.ctx.services.home.root.parent)
    page.copy_button.click()
    copied = QGuiApplication.clipboard().text()
    assert all(f.id in copied for f in page.findings)
    assert str(deck.window.ctx.services.home.root) not in copied


def test_setup_says_what_will_come_and_leads_to_the_doctor(deck: Deck, qtbot) -> None:
    page = open_page(deck, qtbot, "setup")
    assert isinstance(page, SetupPage)
    assert "What will come here" in labels(page)
    assert "PyTorch" in labels(page)
    page.doctor_button.click()
    assert deck.window.current_page is deck.window.pages["doctor"]


# settings


@pytest.fixture
def settings(deck: Deck, qtbot) -> SettingsPage:
    page = open_page(deck, qtbot, "settings")
    assert isinstance(page, SettingsPage)
    return page


def pick(box, value: str) -> None:
    index = box.findData(value)
    box.setCurrentIndex(index)
    box.activated.emit(index)


def test_choosing_a_language_changes_the_window_at_once(deck: Deck, settings: SettingsPage) -> None:
    pick(settings.language_box, "zh_CN")
    QApplication.processEvents()
    assert settings.title_label.full_text == "设置"
    assert deck.window.ctx.settings.value.language == "zh_CN"


def test_choosing_dark_changes_the_scheme_at_once(deck: Deck, settings: SettingsPage) -> None:
    pick(settings.scheme_box, "dark")
    assert deck.window.ctx.theme.scheme == "dark"


def test_the_api_key_is_dotted_until_it_is_asked_for(settings: SettingsPage) -> None:
    assert settings.key_field.text
    assert settings.key_field.line.displayText() != settings.key_field.text
    settings.key_field.reveal.click()
    assert settings.key_field.line.displayText() == settings.key_field.text


def test_the_key_is_renewed_only_after_a_yes(settings: SettingsPage, home: Home) -> None:
    before = settings.key_field.text
    settings.renew_button.click()
    assert settings.dialog is not None
    settings.dialog.reject()
    assert settings.key_field.text == before
    settings.renew_button.click()
    settings._renew.click()
    assert settings.key_field.text != before
    assert home.api_key_file.read_text(encoding="utf-8").strip() == settings.key_field.text


def test_settings_in_a_home_that_cannot_be_written_still_hold_and_say_so(
    deck: Deck, settings: SettingsPage, home: Home, monkeypatch
) -> None:
    def refuse(*_: object) -> None:
        raise AppError(ErrorCode.FOLDER_READ_ONLY, path=str(home.root))

    monkeypatch.setattr("app.settings_store.save_settings", refuse)
    pick(settings.scheme_box, "dark")
    assert deck.window.ctx.theme.scheme == "dark"
    error = deck.window.notice_bar.error_card.error
    assert error is not None
    assert error.code == "folder.read_only"


def test_the_default_precision_is_what_a_new_run_starts_with(deck: Deck, qtbot) -> None:
    deck.window.ctx.settings.change(precision="fp32")
    page = open_page(deck, qtbot, "train", model="deepdeck-starter")
    assert page.form.values()["precision"] == "fp32"  # type: ignore[attr-defined]


def test_a_dataset_added_on_the_data_page_is_offered_on_the_train_page(
    deck: Deck, data: DataPage, qtbot, tmp_path: Path
) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text(json.dumps({"text": "hello"}) + "\n", encoding="utf-8")
    data.add(file)
    page = open_page(deck, qtbot, "train")
    box = page.form.what.data_box  # type: ignore[attr-defined]
    assert box.findData(str(file)) >= 0
