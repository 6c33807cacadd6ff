"""Around the form: groups of fields, the token view, the memory forecast."""

from __future__ import annotations

import dataclasses

import pytest

from app.pages.train import TrainPage
from app.pages.train_tokens import TokenDialog
from app.viewmodels.train_fields import ADVANCED, GROUPS
from app.viewmodels.train_form import METHODS, method_of, method_values
from core.config.train import TrainSpec


@pytest.fixture
def page(deck) -> TrainPage:
    deck.window.resize(1360, 900)
    deck.window.show()
    deck.window.navigate("train")
    return deck.window.current_page


def leaves(model, prefix=""):
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and hasattr(kind, "model_fields"):
            yield from leaves(kind, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def test_every_field_of_the_spec_can_be_reached_in_the_form():
    shown_elsewhere = {
        "model", "data", "name", "method", "load_in_4bit", "load_in_8bit", "max_steps",
        "num_train_epochs", "device", "guard", "sample_prompts",
    }  # fmt: skip
    # Their defaults serve a person; who trains on many machines writes a spec file.
    for_files = {
        "parallel.rdzv_id", "parallel.reshard_after_forward", "parallel.collective_timeout_s",
        "rollback.snapshots", "parallel.cpu_offload",
    }  # fmt: skip
    assert {f.path for f in ADVANCED} == set(leaves(TrainSpec)) - shown_elsewhere - for_files


def test_every_field_says_what_it_does_in_both_languages(page, deck, qtbot):
    texts = page.form._field_texts
    for field in ADVANCED:
        assert texts.field(field.path).help, field.path
    deck.window.ctx.language.set_choice("zh_CN")
    for field in ADVANCED:
        help_text = texts.field(field.path).help
        assert any("\u4e00" <= c <= "\u9fff" for c in help_text), (field.path, help_text)


def test_one_group_of_fields_is_shown_at_a_time(page):
    advanced = page.form.advanced
    page.form.how.advanced_button.setChecked(True)
    for group, fields in GROUPS.items():
        advanced.show_group(group)
        shown = {f.path for f in ADVANCED if advanced.rows[f.path].isVisible()}
        assert shown == {f.path for f in fields}


@pytest.mark.parametrize("method", METHODS)
def test_a_way_to_train_is_three_fields_of_the_spec_and_back(page, method):
    box = page.form.how.method_box
    box.setCurrentIndex(box.findData(method))
    spec = page.form.check()
    assert spec is not None
    assert method_of(spec.model_dump()) == method
    assert method_values(method).items() <= spec.model_dump().items()


def test_what_is_typed_reaches_the_spec(page):
    advanced = page.form.advanced
    advanced.fields["packing"].setChecked(True)
    advanced.fields["warmup_steps"].setText("7")
    advanced.fields["report_to"].setText("tensorboard, wandb")
    guard = page.form.how.guard_box
    guard.setCurrentIndex(guard.findData("rollback"))
    spec = page.form.check()
    assert (spec.packing, spec.warmup_steps, spec.guard) == (True, 7, "rollback")
    assert spec.report_to == ("tensorboard", "wandb")


def test_the_samples_are_shown_token_by_token_with_what_is_learned(page, deck, qtbot):
    deck.bridge.start()
    dialog = page.form.look_at_samples()
    assert isinstance(dialog, TokenDialog)
    with qtbot.waitSignal(dialog.shown, timeout=60_000):
        pass
    assert dialog.problem.text() == ""
    sample = dialog.preview.samples[0]
    assert dialog.text.toPlainText().replace("⏎", "") == "".join(p.text for p in sample.pieces)
    trained = "".join(p.text for p in sample.pieces if p.trained)
    assert trained
    assert "id" in dialog.text.token_at(0)
    dialog.close()


def test_what_keeps_the_samples_from_being_shown_is_said(page, deck, qtbot, tmp_path):
    deck.bridge.start()
    data = tmp_path / "rows.jsonl"
    data.write_text('{"prompt": "a", "completion": "b"}\n', "utf-8")
    page.form.choose_data(data)
    data.write_text('{"prompt": \n', "utf-8")
    dialog = page.form.look_at_samples()
    qtbot.waitUntil(lambda: dialog.problem.text() != "", timeout=60_000)
    assert "rows.jsonl" in dialog.problem.text()
    dialog.close()


def test_the_memory_that_is_needed_stands_beside_the_form(page, qtbot):
    card = page.form.forecast_card
    qtbot.waitUntil(lambda: card.isVisible(), timeout=10_000)
    assert card.verdict.text()
    assert card.parts.texts


def test_a_measure_changes_the_form_and_leaves_the_rest(page, qtbot):
    form = page.form
    form.advanced.fields["learning_rate"].setText("7e-5")
    form.forecast_card.measure_taken.emit({"gradient_checkpointing": "full", "lora": {"r": 4}})
    spec = form.check()
    assert (spec.gradient_checkpointing, spec.lora.r) == ("full", 4)
    assert spec.learning_rate == 7e-5


def test_what_does_not_fit_comes_with_measures_to_click(page, qtbot):
    qtbot.waitUntil(lambda: page.form.plan_card.plan is not None, timeout=10_000)
    plan = page.form.plan_card.plan
    from core.protocol.events import LadderRung

    rung = LadderRung(
        code="gradient_checkpointing", changes={"gradient_checkpointing": "full"}, saves_gib=3.2
    )
    verdict = dataclasses.replace(plan.verdict, fit="does_not_fit", needed_gib=99.0)
    card = page.form.forecast_card
    card.show_plan(dataclasses.replace(plan, verdict=verdict, measures=(rung,)))
    assert "99" in card.verdict.text()
    card.buttons["gradient_checkpointing"].click()
    assert page.form.check().gradient_checkpointing == "full"
