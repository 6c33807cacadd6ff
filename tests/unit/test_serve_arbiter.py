"""A server and a training on one card: nothing is shrunk, paused or stopped without a word."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core import atomic_io
from core.config.serve import ServeSpec
from core.config.train import TrainSpec
from core.hardware import GpuSample
from core.paths import Home
from core.planning import shape_of
from core.protocol.events import CommandAcknowledged, Event, PhaseChanged, RunStarted
from core.runlog.run_dir import RunDir
from core.runlog.writer import EventWriter
from core.services import build, serve_forecast
from core.services.documents import run_document
from core.services.serve_arbiter import (
    Conflict,
    Holder,
    ServeArbiter,
    conflict_for_server,
    conflict_for_training,
    shrunk,
)
from core.services.serve_forecast import ServePlan, plan_server
from core.supervisor.identity import ProcessIdentity
from tests.unit.test_planning_shapes import R1_QWEN_7B

TRAINING = Holder("t1", "train", "law", frozenset({"cuda:0"}), 9.0)
SERVER = Holder("s1", "serve", "chat", frozenset({"cuda:0"}), 15.0)


class Cards:
    def __init__(self, *samples: GpuSample) -> None:
        self.samples = list(samples)

    def sample(self) -> list[GpuSample]:
        return self.samples


def card(used: float = 10.0, total: float = 24.0, **more: Any) -> GpuSample:
    return GpuSample(0, "card", memory_used_gib=used, memory_total_gib=total,
                     compute_capability=(8, 9), **more)  # fmt: skip


@pytest.fixture(autouse=True)
def torch_with_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve_forecast, "torch_has_cuda", lambda: True)


def plan(used: float, **spec: Any) -> ServePlan:
    shape = shape_of(R1_QWEN_7B)
    assert shape is not None
    return plan_server(ServeSpec(model="m", **spec), shape, [card(used)])


def server_conflict(used: float, *holders: Holder, **spec: Any) -> Conflict | None:
    found = plan(used, **spec)
    return conflict_for_server(ServeSpec(model="m", **spec), found, found.room.device, holders)


def living(home: Home, job: str, run_id: str, events: list[Event], **spec: Any) -> RunDir:
    made = TrainSpec.parse({"model": "/m", "data": "/d", **spec}) if job == "train" else (
        ServeSpec.parse({"model": "/m", **spec}))  # fmt: skip
    run = RunDir.create(home.runs, run_id, run_document(job, made, name=run_id))
    with EventWriter(run.events, run_id) as writer:
        for event in (RunStarted(job=job, pid=os.getpid()), *events):
            writer.write(event)
    identity = ProcessIdentity.of(os.getpid())
    assert identity is not None
    atomic_io.write_json(run.process_json, identity.as_document())
    run.heartbeat.touch()
    return run


def arbiter_of(home: Home, *cards: GpuSample) -> ServeArbiter:
    found = build(home).arbiter
    found._gpus = lambda: Cards(*cards)  # type: ignore[assignment,return-value]
    return found


def test_an_empty_card_raises_no_question() -> None:
    assert server_conflict(1.0) is None


def test_a_training_on_another_card_is_not_in_the_way() -> None:
    assert server_conflict(1.0, replace(TRAINING, devices=frozenset({"cuda:1"}))) is None


def test_the_processor_is_shared_without_a_question() -> None:
    there = replace(TRAINING, devices=frozenset({"cpu"}))
    assert conflict_for_server(ServeSpec(model="m"), None, "cpu", [there]) is None


def test_what_is_left_is_offered_as_a_shorter_context_with_fewer_chats() -> None:
    found = server_conflict(10.0, TRAINING, precision="4bit", max_context_tokens=131_072)
    assert found is not None
    assert found.offers == ("share", "pause", "wait")
    assert 512 <= found.changes["max_context_tokens"] < 131_072
    assert 1 <= found.changes["max_batch_size"] <= 16
    again = plan(10.0, precision="4bit", **found.changes)
    assert again.forecast.fit in ("roomy", "shared")


def test_a_server_that_fits_as_it_is_is_shared_unchanged() -> None:
    found = server_conflict(
        9.0, TRAINING, precision="4bit", max_context_tokens=2048, max_batch_size=4
    )
    assert found is not None
    assert found.changes == {}
    assert "share" in found.offers


def test_a_full_card_cannot_be_shared_but_the_training_can_be_paused_or_waited_for() -> None:
    found = server_conflict(19.0, TRAINING, precision="bf16")
    assert found is not None
    assert found.offers == ("pause", "wait")
    assert shrunk(plan(19.0, precision="bf16")) is None


def test_a_paused_training_is_in_the_way_only_with_the_memory_that_it_still_holds() -> None:
    paused = replace(TRAINING, paused=True)
    assert server_conflict(2.0, paused, precision="4bit") is None
    still_there = server_conflict(19.0, paused, precision="bf16")
    assert still_there is not None
    assert "share" not in still_there.offers


def test_the_refusal_names_the_training_and_what_it_holds() -> None:
    found = server_conflict(10.0, TRAINING)
    assert found is not None
    error = found.error()
    assert error.code.value == "serve.card_busy"
    assert error.params == {"device": "cuda:0", "run_id": "t1", "name": "law", "used_gib": 9.0}


def test_a_training_asks_while_a_server_holds_its_card() -> None:
    wanted = frozenset({"cuda:0"})
    small = conflict_for_training(wanted, [SERVER], 6.0, card(16.0))
    assert small is not None
    assert small.offers == ("share", "pause", "wait")
    large = conflict_for_training(wanted, [SERVER], 12.0, card(16.0))
    assert large is not None
    assert large.offers == ("pause", "wait")
    assert conflict_for_training(frozenset({"cuda:1"}), [SERVER], 6.0, card(16.0)) is None
    assert conflict_for_training(wanted, [TRAINING], 6.0, card(16.0)) is None
    assert conflict_for_training(frozenset({"cpu"}), [SERVER], 6.0, None) is None


def test_living_runs_are_found_with_their_device_and_what_they_hold(home: Home) -> None:
    living(home, "train", "20261124-100000-train-law-0001", [PhaseChanged(phase="training")])
    living(home, "serve", "20261124-100001-serve-x-0001", [], device="cuda:0")
    found = arbiter_of(home).holders([card(process_memory_gib={os.getpid(): 9.0})])
    assert {h.job: h.memory_gib for h in found} == {"train": 9.0, "serve": 9.0}
    assert all(h.devices == {"cuda:0"} for h in found)


def test_a_pause_in_the_events_is_seen(home: Home) -> None:
    run_id = "20261124-100000-train-law-0001"
    living(home, "train", run_id, [CommandAcknowledged(command="pause")])
    arbiter = arbiter_of(home)
    assert [h.paused for h in arbiter.holders([card()])] == [True]


def test_a_pause_is_asked_for_with_the_card_given_free(home: Home) -> None:
    run = living(home, "train", "20261124-100000-train-law-0001", [])
    services = build(home)
    services.arbiter.pause(run.run_id)
    assert '"free_gpu":true' in run.control.read_text().replace(" ", "")
    services.supervisor.tick()
    assert not services.arbiter.gave_free(run.run_id)


def test_a_training_before_a_server_is_found_by_the_service(home: Home, tmp_path: Path) -> None:
    living(home, "serve", "20261124-100001-serve-x-0001", [])
    spec = TrainSpec.parse({"model": "/m", "data": "/d", "device": "cuda:0"})
    found = arbiter_of(home, card(20.0)).before_training(spec, 8.0)
    assert found is not None
    assert found.first.name == "20261124-100001-serve-x-0001"
    assert found.offers == ("pause", "wait")
