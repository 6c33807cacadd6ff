from __future__ import annotations

from PySide6.QtWidgets import QLabel, QSpinBox, QWidget

from app.bootstrap import Deck
from app.bridge import MachineSample
from app.widgets.copy_field import CopyField
from app.widgets.form_row import FormRow
from app.widgets.labels import ElidedLabel
from app.widgets.log_view import LogView
from app.widgets.two_line_list import TwoLine, TwoLineList
from core.hardware import GpuSample


def words(root: QWidget) -> str:
    return "\n".join(w.text() for w in root.findChildren(QLabel) if not w.isHidden())


def test_a_form_row_gives_its_field_a_name_a_description_and_a_tooltip(deck: Deck, qtbot) -> None:
    field = QSpinBox()
    row = FormRow(field, key="port")
    qtbot.addWidget(row)
    row.set_texts("&Port", "Where clients find the API.", "TCP")
    assert row.label.buddy() is field
    assert field.accessibleName() == "Port (TCP)"
    assert field.accessibleDescription() == field.toolTip() == "Where clients find the API."


def test_the_error_of_a_field_is_read_out_and_goes_again(deck: Deck, qtbot) -> None:
    row = FormRow(QSpinBox())
    qtbot.addWidget(row)
    row.set_texts("Port", "help")
    row.set_error("taken")
    assert row.field.accessibleDescription() == "taken"
    row.set_error("")
    assert row.field.accessibleDescription() == "help"
    assert row.field.property("invalid") == "false"


def test_each_card_of_the_machine_is_shown_with_its_memory(deck: Deck) -> None:
    card = deck.window.side_bar.machine_card
    one = GpuSample(0, "NVIDIA GeForce RTX 4090", memory_used_gib=17.8, memory_total_gib=24.0,
                    temperature_c=61)  # fmt: skip
    two = GpuSample(1, "NVIDIA H200", memory_used_gib=1.0, memory_total_gib=139.0)
    card.show_sample(MachineSample(gpus=(one, two)))
    shown = words(card)
    assert "GPU 0 • RTX 4090" in shown or "RTX 4090" in card.findChildren(ElidedLabel)[0].full_text
    assert "17.8 / 24.0 GiB" in shown
    assert "61 °C" in shown
    assert "1.0 / 139.0 GiB" in shown


def test_a_card_that_does_not_report_its_memory_is_not_shown_as_empty(deck: Deck) -> None:
    card = deck.window.side_bar.machine_card
    card.show_sample(MachineSample(gpus=(GpuSample(0, "NVIDIA X"),)))
    assert "memory not reported" in words(card)


def test_without_a_card_the_reason_is_said_and_the_computer_s_memory_shown(deck: Deck) -> None:
    card = deck.window.side_bar.machine_card
    card.show_sample(
        MachineSample(gpu_reason="gpu.no_library", ram_used_gib=3.0, ram_total_gib=16.0)
    )
    assert "3.0 / 16.0 GiB" in words(card)
    assert "No NVIDIA driver" in card.accessibleDescription()


def test_a_log_keeps_only_its_newest_lines(deck: Deck, qtbot) -> None:
    view = LogView(max_lines=100)
    qtbot.addWidget(view)
    view.append("\n".join(f"line {n}" for n in range(1000)))
    view.flush()
    assert view.log.rowCount() == 100
    assert view.log.text().splitlines()[0] == "line 900"


def test_a_log_that_the_user_scrolled_up_stays_where_it_is(deck: Deck, qtbot) -> None:
    view = LogView()
    qtbot.addWidget(view)
    view.resize(300, 120)
    view.show()
    view.append("\n".join(f"line {n}" for n in range(500)))
    view.flush()
    bar = view.verticalScrollBar()
    assert bar.value() == bar.maximum()
    bar.setValue(10)
    view.append("one more")
    view.flush()
    assert bar.value() == 10


def test_a_cut_text_grows_back_and_is_whole_for_a_screen_reader(deck: Deck, qtbot) -> None:
    text = "a rather long name of a run that does not fit"
    shown = ElidedLabel(text)
    qtbot.addWidget(shown)
    shown.resize(80, 20)
    shown.show()
    assert shown.text() != text
    assert shown.accessibleName() == shown.toolTip() == text
    shown.resize(shown.sizeHint().width() + 10, 20)
    assert shown.text() == text


def test_a_list_that_is_read_anew_keeps_what_was_chosen_without_saying_so(
    deck: Deck, qtbot
) -> None:
    rows = TwoLineList()
    qtbot.addWidget(rows)
    heard: list[str] = []
    rows.chosen.connect(heard.append)
    rows.set_rows([TwoLine("a", "A"), TwoLine("b", "B")])
    rows.choose("b")
    rows.set_rows([TwoLine("c", "C"), TwoLine("b", "B2"), TwoLine("a", "A")])
    assert rows.chosen_id == "b"
    assert heard == ["a", "b"]


def test_a_copied_secret_is_the_secret_and_not_its_dots(deck: Deck, qtbot, qapp) -> None:
    field = CopyField("key", secret=True)
    qtbot.addWidget(field)
    field.set_text("s3cret")
    field.copy.click()
    assert qapp.clipboard().text() == "s3cret"
