"""Reading event files: any split of the bytes gives the same story."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.protocol.codec import encode_event
from core.protocol.events import (
    AlarmCleared,
    AlarmRaised,
    CheckpointSaved,
    CommandAcknowledged,
    EvalDone,
    Event,
    PhaseChanged,
    RunFinished,
    RunStarted,
    ServeRequest,
    TrainPlanned,
    TrainStep,
)
from core.runlog.state import RunState, fold, reduce
from core.runlog.tail import LogTail

_numbers = st.floats(allow_nan=False, width=32)
_steps = st.integers(0, 50)
_events = st.one_of(
    st.builds(TrainStep, step=_steps, loss=_numbers, grad_norm=st.just(float("inf"))),
    st.builds(RunStarted, pid=st.integers(2, 99), resumed_from_step=st.none() | _steps),
    st.builds(PhaseChanged, phase=st.sampled_from(["training", "saving"]), detail=st.text()),
    st.builds(TrainPlanned, total_steps=_steps),
    st.builds(EvalDone, step=_steps, split=st.sampled_from(["a", "b"]), loss=_numbers),
    st.builds(CheckpointSaved, step=_steps),
    st.builds(AlarmRaised, alarm=st.sampled_from(["stall", "loss_spike"]), step=_steps),
    st.builds(AlarmCleared, alarm=st.just("stall")),
    st.builds(CommandAcknowledged, command=st.just("pause"), in_reply_to=st.text(min_size=1)),
    st.builds(ServeRequest, request_id=st.text()),
    st.builds(RunFinished, outcome=st.sampled_from(["completed", "stopped", "failed"])),
)


@st.composite
def _logs(draw: st.DrawFn) -> list[Event]:
    """Events as a writer stamps them, now and then a `seq` twice."""
    events, seq = [], 0
    for event in draw(st.lists(_events, max_size=30)):
        seq += draw(st.sampled_from([1, 1, 1, 0])) if seq else 1
        stamp = {"seq": seq, "kind": type(event).KIND, "time_utc": float(seq), "run_id": "r"}
        events.append(event.model_copy(update=stamp))
    return events


@given(_logs(), st.lists(st.integers(1, 400), min_size=1, max_size=40))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_split_of_the_bytes_gives_the_same_fold(
    tmp_path: Path, log: list[Event], cuts: list[int]
) -> None:
    data = b"".join(encode_event(e) for e in log)
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"")
    tail, state, seen = LogTail(file), RunState(), 0
    for i in range(10_000):
        if seen >= len(data):
            break
        size = cuts[i % len(cuts)]
        with file.open("ab") as f:
            f.write(data[seen : seen + size])
        seen += size
        state = fold(state, tail.read(cuts[-1] + 1).events)
    while not (found := tail.read(64)).at_end:
        state = fold(state, found.events)
    state = fold(state, found.events)
    assert tail.bad_lines == 0
    assert state == fold(RunState(), log)


@given(_logs(), st.integers(0, 30))
@settings(max_examples=100, deadline=None)
def test_fold_is_reduce_one_by_one_wherever_it_is_cut(log: list[Event], cut: int) -> None:
    one_by_one = RunState()
    for event in log:
        one_by_one = reduce(one_by_one, event)
    assert fold(fold(RunState(), log[:cut]), log[cut:]) == one_by_one


@given(_logs())
@settings(max_examples=50, deadline=None)
def test_reading_everything_twice_changes_nothing(log: list[Event]) -> None:
    once = fold(RunState(), log)
    assert fold(once, log) is once


def test_a_state_that_somebody_holds_never_changes() -> None:
    first = fold(RunState(), [TrainStep(seq=1, step=1)])
    before = (first.step, first.num_events, first.last_seq)
    fold(first, [TrainStep(seq=2, step=2), TrainStep(seq=3, step=3)])
    assert (first.step, first.num_events, first.last_seq) == before


def test_a_file_that_is_not_there_yet_has_no_lines(tmp_path: Path) -> None:
    tail = LogTail(tmp_path / "events.jsonl")
    assert tail.read().events == ()
    tail.path.write_bytes(encode_event(TrainStep(kind="train.step", seq=1, step=1)))
    assert len(tail.read().events) == 1


def test_a_bite_is_bounded_and_the_rest_is_known_to_be_there(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    lines = [encode_event(TrainStep(kind="train.step", seq=n, step=n)) for n in range(1, 101)]
    file.write_bytes(b"".join(lines))
    tail = LogTail(file)
    found = tail.read(len(lines[0]) * 10)
    assert 0 < len(found.events) <= 11
    assert not found.at_end
    assert tail.offset < file.stat().st_size
