"""The audit log and what a call reports: complete, bounded, and never a word of text."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from core.config.serve import ServeSpec
from core.protocol.events import ServeRequest
from workers.serve.engines.base import SamplingParams, Ticket, TokenEvent
from workers.serve.http.audit import AuditLog
from workers.serve.http.call import Call
from workers.serve.http.errors import ApiError
from workers.serve.http.memory import Remembered, RequestMemory
from workers.serve.http.metrics import ServerMetrics
from workers.serve.http.state import ServerState


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


class Served:
    """A server's state without a server."""

    def __init__(self, folder: Path, **spec: Any) -> None:
        self.events: list[ServeRequest] = []
        self.state = ServerState(
            ServeSpec(model="m", **spec), ServerMetrics("m", 9), on_request=self.events.append
        )
        self.log = folder / "audit.jsonl"
        self.state.audit = AuditLog(self.log)

    def call(self, tokens: int = 7) -> Call:
        call = Call(self.state, "/v1/completions", client="10.0.0.9")
        call.use_model("base:mine")
        call.remember({"prompt": "a private sentence"})
        call.admit(prompt_tokens=tokens, answers=1, new_tokens=5)
        call.tickets.append(Ticket([1] * tokens, SamplingParams(max_new_tokens=5), None))
        return call


def test_a_line_has_who_what_and_how_much_but_no_text(tmp_path: Path) -> None:
    served = Served(tmp_path)
    call = served.call()
    call.took([TokenEvent(5, queue_ms=12.5, cached_tokens=4), TokenEvent(6)])
    call.heard(0, "a secret answer")
    call.end(200, "stop")
    (line,) = lines(served.log)
    assert line["key"] == "deepdeck"
    assert line["client"] == "10.0.0.9"
    assert (line["route"], line["model"], line["status"]) == ("/v1/completions", "base:mine", 200)
    assert (line["prompt_tokens"], line["completion_tokens"]) == (7, 2)
    assert line["total_ms"] >= 0
    (event,) = served.events
    assert (event.queue_ms, event.cached_tokens) == (12.5, 4)
    for text in (served.log.read_text(), event.model_dump_json()):
        assert "private" not in text
        assert "secret" not in text


def test_a_call_is_reported_once_by_its_first_end(tmp_path: Path) -> None:
    served = Served(tmp_path)
    call = served.call()
    call.fail(ApiError(503, "no", code="queue_full"))
    call.end(200, "stop")
    assert [(e.status, e.error_code) for e in served.events] == [(503, "queue_full")]
    assert served.state.open_calls == 0
    assert len(lines(served.log)) == 1


def test_requests_turned_away_at_the_door_are_written_down_without_a_key(tmp_path: Path) -> None:
    served = Served(tmp_path)
    error = ApiError(401, "the API key is wrong", code="invalid_api_key")
    served.state.refused("/v1/" + "x" * 5000, error, "10.0.0.9")
    (line,) = lines(served.log)
    assert (line["key"], line["error"], line["status"]) == ("", "invalid_api_key", 401)
    assert len(line["route"]) == 200
    assert served.events == []
    assert served.state.metrics.by_error == {"invalid_api_key": 1}


def test_the_log_is_turned_over_and_bounded(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.jsonl", max_bytes=4000, kept=2)
    for number in range(100):
        log.write(ServeRequest(request_id=f"r{number}"), "c")
    log.close()
    found = sorted(p.name for p in tmp_path.iterdir())
    assert found == ["audit-1.jsonl", "audit-2.jsonl", "audit.jsonl"]
    ids = [
        line["request_id"]
        for name in ("audit-2.jsonl", "audit-1.jsonl", "audit.jsonl")
        for line in lines(tmp_path / name)
    ]
    assert ids == [f"r{n}" for n in range(100 - len(ids), 100)]
    assert all(p.stat().st_size < 4500 for p in tmp_path.iterdir())


def test_a_second_life_of_a_run_goes_on_in_the_same_file(tmp_path: Path) -> None:
    for number in range(2):
        log = AuditLog(tmp_path / "audit.jsonl")
        log.write(ServeRequest(request_id=f"r{number}"), "c")
        log.close()
    assert [line["request_id"] for line in lines(tmp_path / "audit.jsonl")] == ["r0", "r1"]
    assert stat.S_IMODE((tmp_path / "audit.jsonl").stat().st_mode) == 0o600


def test_a_log_that_cannot_be_written_costs_lines_and_no_request(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "gone" / "audit.jsonl")
    log.write(ServeRequest(), "c")
    log.write(ServeRequest(), "c")
    assert log.lost_lines == 2
    (tmp_path / "gone").mkdir()
    log.write(ServeRequest(request_id="back"), "c")
    assert lines(tmp_path / "gone" / "audit.jsonl")[0]["request_id"] == "back"


def test_a_cancelled_call_tells_its_client_and_is_reported_as_cancelled(tmp_path: Path) -> None:
    served = Served(tmp_path)
    call, other = served.call(), served.call()
    told: list[ApiError] = []
    call.when_cancelled(told.append)
    assert served.state.cancel(call.request_id)
    assert not served.state.cancel("req-unknown")
    late: list[ApiError] = []
    call.when_cancelled(late.append)
    assert [e.code for e in (*told, *late)] == ["cancelled", "cancelled"]
    assert other.cancelled is None
    call.end(200, None)  # its stream's headers had gone out
    assert (served.events[0].status, served.events[0].error_code) == (403, "cancelled")


def test_open_requests_tell_where_they_are(tmp_path: Path) -> None:
    served = Served(tmp_path)
    call = served.call()
    stages = [call.open_request().state]
    call.tickets[0].started_at = 1.0
    stages.append(call.open_request().state)
    call.took([TokenEvent(5)])
    stages.append(call.open_request().state)
    assert stages == ["queued", "reading", "writing"]
    told = served.state.stats().open_requests
    assert [(r.request_id, r.completion_tokens) for r in told] == [(call.request_id, 1)]
    for _ in range(80):
        served.call()
    assert len(served.state.stats().open_requests) == 50


# -- the memory of requests -------------------------------------------------------------------


def test_the_last_requests_can_be_opened_with_question_and_answer(tmp_path: Path) -> None:
    served = Served(tmp_path, remember_requests=2)
    calls = []
    for number in range(3):
        call = served.call()
        call.took([TokenEvent(5)])
        call.heard(1, f"answer {number}", "thought")
        call.heard(1, "!")
        call.end(200, "stop")
        calls.append(call)
    assert served.state.memory.find(calls[0].request_id) is None
    found = served.state.memory.find(calls[2].request_id)
    assert found is not None
    assert found["request"] == {"prompt": "a private sentence"}
    assert found["answers"] == [{"content": "answer 2!", "reasoning": "thought"}]


def test_nothing_is_remembered_when_the_spec_says_so(tmp_path: Path) -> None:
    served = Served(tmp_path, remember_requests=0)
    call = served.call()
    call.took([TokenEvent(5)])
    call.heard(0, "answer")
    call.end(200, "stop")
    assert served.state.memory.find(call.request_id) is None


def test_remembered_text_is_bounded() -> None:
    memory = RequestMemory(1000, most_bytes=100_000)
    for number in range(100):
        kept = Remembered(f"r{number}", {}, size=10_000)
        memory.keep(kept)
    assert memory.find("r99") is not None
    assert memory.find("r90") is None
    long = Remembered("long", {})
    for _ in range(1000):
        long.heard(0, "x" * 1000, "")
    memory.keep(long)
    assert memory.find("long") is None
    assert long.size < 300_000


@pytest.mark.parametrize("allowed", [("base",), ("base", "base:other")])
def test_a_key_for_other_models_is_refused_by_name(tmp_path: Path, allowed: tuple[str]) -> None:
    from core.api_keys import ApiKey
    from workers.serve.http.keys import Grant

    served = Served(tmp_path)
    key = ApiKey(name="phone", sha256="0" * 64, models=allowed)
    call = Call(served.state, "/x", Grant("id", "phone", key))
    call.use_model("base")
    with pytest.raises(ApiError) as refused:
        call.use_model("base:mine")
    assert (refused.value.status, refused.value.code) == (403, "model_not_allowed")
