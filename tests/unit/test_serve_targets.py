"""Lights are green or red only where something was measured; each names its workload."""

from __future__ import annotations

from typing import Any

import pytest

from app.viewmodels.serve import conversation_of
from app.viewmodels.serve_snippets import MASK, NAMES, SNIPPETS, Access, masked, snippet
from app.viewmodels.serve_targets import LEAST_REQUESTS, Lights, lights_of, workload_of
from core.protocol.events import ServeRequest, ServeSelfTest, ServeStats

ACCESS = Access("http://127.0.0.1:8000", "dd-secret", "base:legal", 8192, 1024)


def asked(count: int, at_utc: float = 1000.0, **more: Any) -> list[ServeRequest]:
    return [
        ServeRequest(
            request_id=str(n), time_utc=at_utc, prompt_tokens=120 + n, completion_tokens=30, **more
        )
        for n in range(count)
    ]


def told(**values: Any) -> ServeStats:
    return ServeStats(time_utc=1000.0, **{"qps": 10.0, "latency_p99_ms": 300.0, **values})


def lights(count: int = 40, test: ServeSelfTest | None = None, **values: Any) -> Lights:
    return lights_of(told(**values), asked(count), test, memory_share=0.8)


def test_figures_that_meet_their_targets_are_green_with_the_lengths_that_ran() -> None:
    found = lights(qps=60.0)
    assert [x.state for x in (found.qps, found.p99, found.memory)] == ["met"] * 3
    assert found.p99.workload is not None
    assert (found.p99.workload.prompt_tokens, found.p99.workload.answer_tokens) == (140, 30)


def test_few_requests_a_second_are_no_miss_but_nothing_measured() -> None:
    found = lights(qps=3.0)
    assert (found.qps.state, found.qps.reason) == ("unknown", "not_loaded")


def test_more_waiting_than_served_is_a_miss() -> None:
    found = lights(qps=12.0, running=8, queued=20)
    assert (found.qps.state, found.qps.reason) == ("missed", "measured")


def test_a_p99_of_few_requests_is_grey() -> None:
    found = lights(LEAST_REQUESTS - 1)
    assert (found.p99.state, found.p99.reason) == ("unknown", "too_few")
    assert found.p99.value == 300.0


def test_a_slow_p99_is_red() -> None:
    assert lights(latency_p99_ms=501.0).p99.state == "missed"


def test_before_the_first_request_all_is_grey() -> None:
    found = lights_of(None, ())
    assert {found.qps.state, found.p99.state, found.memory.state} == {"unknown"}
    assert found.memory.reason == "no_card"


def test_memory_over_the_line_is_red() -> None:
    assert lights_of(told(), (), memory_share=0.86).memory.state == "missed"


def test_a_self_test_speaks_where_clients_asked_too_little() -> None:
    test = ServeSelfTest(
        phase="done", prompt_tokens=512, answer_tokens=64, sustained_qps=61.0, latency_p99_ms=480.0
    )
    found = lights(3, test, qps=0.1)
    assert (found.qps.state, found.qps.reason, found.qps.value) == ("met", "self_test", 61.0)
    assert found.p99.workload is not None
    assert found.p99.workload.prompt_tokens == 512


def test_a_self_test_that_is_not_done_says_nothing() -> None:
    test = ServeSelfTest(phase="running", sustained_qps=61.0)
    assert lights(3, test, qps=0.1).qps.reason == "not_loaded"


def test_a_workload_is_of_the_last_minute_and_of_what_was_answered() -> None:
    requests = [*asked(5, at_utc=900.0), *asked(3), *asked(2, status=503)]
    found = workload_of(requests, told())
    assert found is not None
    assert found.requests == 3
    assert workload_of(asked(2, status=503), told()) is None


@pytest.mark.parametrize("name", SNIPPETS)
def test_a_snippet_has_address_model_and_key_and_hides_the_key_on_the_screen(name: str) -> None:
    text = snippet(name, ACCESS)  # type: ignore[arg-type]
    assert "dd-secret" in text
    assert ":8000/v1" in text
    if name != "open_webui":  # it finds the models by itself
        assert "base:legal" in text
    shown = masked(text, ACCESS.key)
    assert "dd-secret" not in shown
    assert MASK in shown


def test_the_python_snippet_compiles_whatever_the_model_is_called() -> None:
    for name in ("python", "langchain"):
        text = snippet(name, Access("http://x:1", "k", 'odd"name\\'))  # type: ignore[arg-type]
        compile(text, name, "exec")


def test_a_program_in_a_container_is_given_a_name_that_leads_out_of_it() -> None:
    assert "http://host.docker.internal:8000/v1" in snippet("open_webui", ACCESS)
    assert "http://host.docker.internal:8000/v1" in snippet("dify", ACCESS)


def test_every_snippet_has_a_name() -> None:
    assert set(NAMES) == set(SNIPPETS)


def test_a_remembered_chat_becomes_a_conversation_with_its_answer() -> None:
    parts = [{"type": "text", "text": "Is it "}, {"type": "text", "text": "valid?"}]
    found = conversation_of(
        {
            "request": {"messages": [{"role": "system", "content": "Law."},
                                     {"role": "user", "content": parts}]},
            "answers": [{"content": "Yes.", "reasoning": "Hm."}, {"content": "No."}],
        }
    )  # fmt: skip
    assert found == [
        {"role": "system", "content": "Law."},
        {"role": "user", "content": "Is it valid?"},
        {"role": "assistant", "content": "Yes.", "reasoning": "Hm."},
    ]


def test_a_remembered_completion_is_one_question() -> None:
    found = conversation_of({"request": {"prompt": ["Once ", "upon"]}, "answers": []})
    assert found == [{"role": "user", "content": "Once upon"}]


@pytest.mark.parametrize("strange", [{}, {"request": 3}, {"request": {"messages": ["x", 1]}}])
def test_a_strange_answer_of_the_server_is_no_conversation(strange: dict[str, Any]) -> None:
    assert conversation_of(strange) == []
