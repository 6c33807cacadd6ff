"""`deepdeck serve --if-busy`: a training on the card, and the user's word about it."""

from __future__ import annotations

import argparse
import io
import json
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app.cli import build_parser
from app.commands.output import Output
from app.commands.serve import phase_line
from app.commands.serve_room import let_go_on, make_room, make_room_for_training
from core.config.serve import ServeSpec
from core.config.train import TrainSpec
from core.errors import UsageError
from core.paths import Home
from core.planning import shape_of
from core.protocol.codec import encode_event
from core.protocol.events import CommandAcknowledged, PhaseChanged
from core.runlog.run_dir import RunDir
from core.services import Services, build
from core.services.serve_forecast import ServeSource
from tests.unit.test_planning_shapes import R1_QWEN_7B
from tests.unit.test_serve_arbiter import Cards, card, living, torch_with_cuda  # noqa: F401

RUN_ID = "20261124-100000-train-law-0001"
SPEC = ServeSpec(model="m", precision="4bit", max_context_tokens=131_072)


def services_of(home: Home, used_gib: float = 10.0) -> Services:
    services = build(home)
    services.arbiter._gpus = lambda: Cards(card(used_gib))  # type: ignore[assignment,return-value]
    services.arbiter._source = lambda spec: ServeSource(shape_of(R1_QWEN_7B))  # type: ignore[method-assign]
    return services


def training(home: Home) -> RunDir:
    return living(home, "train", RUN_ID, [PhaseChanged(phase="training")], device="cuda:0")


def quiet() -> Output:
    return Output(as_json=True, language="en", stream=io.StringIO())


def answer_as_the_worker(run: RunDir, *, accepted: bool, detail: str = "") -> threading.Thread:
    """Answers the first command, as a training between two steps does."""

    def work() -> None:
        for _ in range(400):
            if run.control.exists() and run.control.read_bytes().endswith(b"\n"):
                break
            time.sleep(0.01)
        command: dict[str, Any] = json.loads(run.control.read_text().splitlines()[0])
        told = CommandAcknowledged(
            run_id=run.run_id, seq=3, kind=CommandAcknowledged.KIND, command="pause",
            in_reply_to=command["command_id"], accepted=accepted, detail=detail,
        )  # fmt: skip
        with run.events.open("ab") as events:
            events.write(encode_event(told))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_it_is_refused_by_default_with_the_training_named(home: Home) -> None:
    training(home)
    with pytest.raises(UsageError) as refused:
        make_room(SPEC, "refuse", services_of(home), quiet())
    assert refused.value.code.value == "serve.card_busy"
    assert refused.value.params["run_id"] == RUN_ID


def test_sharing_shrinks_what_is_started_and_touches_the_training_not_at_all(home: Home) -> None:
    run = training(home)
    spec, paused = make_room(SPEC, "share", services_of(home), quiet())
    assert spec.max_context_tokens < SPEC.max_context_tokens
    assert paused == ()
    assert not run.control.exists()


def test_what_cannot_be_shared_is_refused_also_when_sharing_was_the_word(home: Home) -> None:
    training(home)
    with pytest.raises(UsageError) as refused:
        make_room(SPEC, "share", services_of(home, used_gib=20.3), quiet())
    assert refused.value.code.value == "serve.card_busy"


def test_a_paused_training_goes_on_when_the_api_has_ended(home: Home) -> None:
    run = training(home)
    worker = answer_as_the_worker(run, accepted=True)
    services = services_of(home)
    spec, paused = make_room(SPEC, "pause", services, quiet())
    worker.join()
    assert spec == SPEC
    assert [h.run_id for h in paused] == [RUN_ID]
    let_go_on(paused, services)
    kinds = [line for line in run.control.read_text().splitlines() if '"continue"' in line]
    assert len(kinds) == 1


def test_a_training_that_cannot_leave_the_card_is_left_alone(home: Home) -> None:
    worker = answer_as_the_worker(training(home), accepted=False, detail="several_processes")
    with pytest.raises(UsageError) as refused:
        make_room(SPEC, "pause", services_of(home), quiet())
    worker.join()
    assert refused.value.code.value == "serve.card_busy"


def test_waiting_ends_with_the_training(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    run = training(home)
    services = services_of(home)
    monkeypatch.setattr("app.commands.serve_room.time.sleep", lambda _s: run.process_json.unlink())
    assert make_room(SPEC, "wait", services, quiet()) == (SPEC, ())


def test_the_word_is_part_of_the_grammar(tmp_path: Path) -> None:
    parse = build_parser("en").parse_args
    assert parse(["serve", "--model", "m"]).if_busy == "refuse"
    assert parse(["serve", "--model", "m", "--if-busy", "pause"]).if_busy == "pause"
    found: argparse.Namespace = parse(["server", "self-test", RUN_ID, "--prompt-tokens", "512"])
    assert (found.action, found.prompt_tokens, found.answer_tokens) == ("self-test", 512, 32)


def training_plan(device: str = "cuda:0", needed_gib: float | None = 8.0) -> Any:
    spec = TrainSpec(model="/m", data="/d", device=device)
    memory = None if needed_gib is None else SimpleNamespace(total_gib=needed_gib)
    return SimpleNamespace(spec=spec, memory=memory)


SERVER_ID = "20261124-100001-serve-x-0001"


def test_a_training_over_an_api_is_refused_by_default_with_the_api_named(home: Home) -> None:
    living(home, "serve", SERVER_ID, [])
    with pytest.raises(UsageError) as refused:
        make_room_for_training(training_plan(), "refuse", services_of(home), quiet())
    assert refused.value.code.value == "serve.card_busy"
    assert refused.value.params["run_id"] == SERVER_ID
    with pytest.raises(UsageError):  # 16 of 24 GiB are taken: 9 do not fit
        make_room_for_training(training_plan(needed_gib=9.0), "share",
                               services_of(home, used_gib=16.0), quiet())  # fmt: skip


def test_a_training_that_fits_may_share_and_the_api_is_not_touched(home: Home) -> None:
    run = living(home, "serve", SERVER_ID, [])
    make_room_for_training(training_plan(), "share", services_of(home), quiet())
    assert not run.control.exists()


def test_pause_lets_the_api_finish_and_waits_until_it_is_gone(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = living(home, "serve", SERVER_ID, [])
    services = services_of(home)
    asked: list[str] = []
    looks = iter([False, False, True])
    monkeypatch.setattr(services.arbiter, "stop_server", asked.append)
    monkeypatch.setattr(services.arbiter, "gone", lambda _run_id: next(looks))
    make_room_for_training(training_plan(), "pause", services, quiet())
    assert asked == [run.run_id]
    assert next(looks, None) is None


def test_on_a_processor_nothing_is_asked_but_both_are_told_to_get_slower(home: Home) -> None:
    living(home, "serve", SERVER_ID, [], device="cpu")
    services, said = services_of(home), io.StringIO()
    out = Output(as_json=False, language="en", stream=said)
    make_room_for_training(training_plan(device="cpu"), "refuse", services, out)
    assert said.getvalue() == f"{SERVER_ID} computes on this processor too: both get slower.\n"
    living(home, "train", RUN_ID, [PhaseChanged(phase="training")], device="cpu")
    found = services.arbiter.slowed(SPEC.model_copy(update={"device": "cpu"}))
    assert [h.run_id for h in found] == [RUN_ID]
    assert services.arbiter.slowed(SPEC.model_copy(update={"device": "cuda:0"})) == ()


def test_a_training_is_queued_or_asks_for_the_card_now_not_both() -> None:
    parser = build_parser("en")
    args = parser.parse_args(["train", "--model", "m", "--data", "d", "--if-busy", "wait"])
    assert args.if_busy == "wait"
    with pytest.raises(UsageError):
        parser.parse_args(["train", "--model", "m", "--queue", "--if-busy", "wait"])


def test_loading_is_told_by_quarters() -> None:
    fractions = (None, 0.0, 0.1, 0.26, 0.5, 0.99, 1.0)
    lines = [
        phase_line(PhaseChanged(phase="loading_model", fraction=f, detail="x"), "en")
        for f in fractions
    ]
    told = list(dict.fromkeys(lines))
    assert told == [
        "… loading the model x",
        *(f"… loading the model x {n} %" for n in (25, 50, 75)),
    ]
