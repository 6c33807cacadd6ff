"""Golden lines: what was written once must be read forever. Add lines, never change one."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from core.protocol import events as kinds
from core.protocol.codec import (
    BadLine,
    decode_command,
    decode_event,
    encode_command,
    encode_event,
)
from core.protocol.commands import COMMAND_TYPES, StopCommand, UnknownCommand
from core.protocol.events import EVENT_TYPES, Event, TrainStep, UnknownEvent

GOLDEN = {
    json.loads(line)["kind"]: line
    for line in Path(__file__).with_name("golden_events.jsonl").read_bytes().splitlines()
}


@pytest.mark.parametrize("kind", GOLDEN)
def test_a_golden_line_is_read_without_loss(kind: str) -> None:
    line = GOLDEN[kind]
    event = decode_event(line)
    assert type(event) is EVENT_TYPES[kind]
    assert json.loads(encode_event(event)).items() >= json.loads(line).items()


def test_every_kind_has_a_golden_line() -> None:
    assert set(GOLDEN) == set(EVENT_TYPES)


@pytest.mark.parametrize("kind", EVENT_TYPES)
def test_every_kind_goes_there_and_back(kind: str) -> None:
    event = EVENT_TYPES[kind](kind=kind, seq=1)
    assert decode_event(encode_event(event)) == event


@pytest.mark.parametrize("kind", COMMAND_TYPES)
def test_every_command_goes_there_and_back(kind: str) -> None:
    command = COMMAND_TYPES[kind]()
    read = decode_command(encode_command(command))
    assert type(read) is type(command)
    assert read.command_id == command.command_id


def test_every_field_has_a_default_so_that_old_lines_stay_readable() -> None:
    for cls in EVENT_TYPES.values():
        assert not [n for n, f in cls.model_fields.items() if f.is_required()], cls


def test_every_event_class_is_registered_under_its_own_kind() -> None:
    found = {
        cls.KIND: cls
        for cls in vars(kinds).values()
        if isinstance(cls, type) and issubclass(cls, Event) and cls.KIND
    }
    assert found == EVENT_TYPES


def test_non_finite_numbers_travel_as_words_and_come_back_as_numbers() -> None:
    line = encode_event(TrainStep(kind="train.step", loss=math.nan, grad_norm=-math.inf))
    json.loads(line, parse_constant=lambda name: pytest.fail(f"bare {name} is no JSON"))
    event = decode_event(line)
    assert isinstance(event, TrainStep)
    assert math.isnan(event.loss)
    assert event.grad_norm == -math.inf


def test_bare_nan_of_a_foreign_writer_is_read_too() -> None:
    event = decode_event(b'{"kind":"train.step","seq":1,"loss":NaN}')
    assert isinstance(event, TrainStep)
    assert math.isnan(event.loss)


@pytest.mark.parametrize(
    "line",
    [
        b'{"kind":"train.step","step":3,"from_the_future":{"a":[1]}}',
        b'{"step":3,"kind":"train.step"}',
        b'{ "kind" : "train.step", "step" : 3 }',
        b'{"note":{"kind":"run.finished"},"kind":"train.step","step":3}',
        b'{"note":"\\"kind\\":\\"run.finished\\"","kind":"train.step","step":3}',
    ],
)
def test_the_order_and_company_of_fields_do_not_matter(line: bytes) -> None:
    event = decode_event(line)
    assert isinstance(event, TrainStep)
    assert event.step == 3


def test_the_quick_and_the_slow_way_read_the_same() -> None:
    from core.protocol.codec import _decode_slowly

    for line in GOLDEN.values():
        quick, slow = decode_event(line), _decode_slowly(line)
        assert type(quick) is type(slow)
        assert encode_event(quick) == encode_event(slow)


def test_an_unknown_kind_is_kept_as_it_is() -> None:
    event = decode_event(b'{"kind":"weather.report","seq":4,"sky":"blue"}')
    assert isinstance(event, UnknownEvent)
    assert (event.kind, event.seq, event.raw["sky"]) == ("weather.report", 4, "blue")


def test_an_unknown_command_is_kept_by_name() -> None:
    command = decode_command(b'{"command_id":"abc","kind":"levitate"}')
    assert isinstance(command, UnknownCommand)
    assert (command.kind, command.command_id) == ("levitate", "abc")


def test_a_stop_of_an_older_face_saves() -> None:
    command = decode_command(b'{"command_id":"abc","kind":"stop"}')
    assert isinstance(command, StopCommand)
    assert command.save


@pytest.mark.parametrize("line", [b"", b"x", b"[]", b"7", b'"s"', b'{"kind":"train.step"', b"\xff"])
def test_what_is_no_event_is_a_bad_line(line: bytes) -> None:
    with pytest.raises(BadLine):
        decode_event(line)
