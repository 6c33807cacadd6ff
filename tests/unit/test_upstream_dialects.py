"""How requests and streams of vLLM and llama.cpp's server are translated."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest

from core.config.serve import ServeSpec
from core.errors import AppError, ErrorCode
from workers.serve.engines.base import NO_TOKEN, ModelFacts, Request, SamplingParams
from workers.serve.engines.upstream.dialect import number_of_seed
from workers.serve.engines.upstream.llama_cpp import LlamaCpp
from workers.serve.engines.upstream.vllm import Vllm

FACTS = ModelFacts("vLLM", "cuda", "bf16", 100, 64, frozenset({2}), (None,))


def request(**params: object) -> Request:
    return Request(1, [5, 6], SamplingParams(**{"max_new_tokens": 9, **params}))


def program(folder: Path, says: str) -> str:
    path = folder / "program"
    path.write_text(f"#!{sys.executable}\nprint({says!r})\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_a_seed_stays_the_same_number_and_the_choices_of_one_request_differ() -> None:
    assert number_of_seed("4") == number_of_seed("4")
    assert number_of_seed("4") != number_of_seed("4:1")
    assert number_of_seed(None) is None
    assert 0 <= (number_of_seed("x") or 0) < 2**31


def test_llama_cpp_is_asked_without_its_own_sampling_defaults() -> None:
    body = LlamaCpp().body(request(temperature=0.0))
    assert (body["temperature"], body["top_k"], body["top_p"], body["min_p"]) == (0.0, 0, 1.0, 0.0)
    assert (body["repeat_penalty"], body["repeat_last_n"]) == (1.0, 0)
    assert "seed" not in body


def test_llama_cpp_obeys_a_schema() -> None:
    assert LlamaCpp().body(request(grammar='{"type": "array"}'))["json_schema"]["type"] == "array"
    assert LlamaCpp().body(request(grammar="json_object"))["json_schema"] == {"type": "object"}


def test_text_of_llama_cpp_counts_where_its_tokens_leave_out_part_of_a_character() -> None:
    reader = LlamaCpp().reader(request(), FACTS)
    [event] = reader.events({"content": "好", "tokens": [17], "stop": False})
    assert (event.token, event.text, event.finish) == (17, "好", None)
    [end] = reader.events({"content": "", "tokens": [], "stop": True, "stop_type": "eos"})
    assert (end.token, end.finish, end.is_stop_token) == (NO_TOKEN, "stop", True)


def test_an_answer_of_llama_cpp_that_reached_its_limit_says_length() -> None:
    reader = LlamaCpp().reader(request(), FACTS)
    [end] = reader.events({"content": "", "stop": True, "stop_type": "limit"})
    assert end.finish == "length"


def test_a_stop_token_that_llama_cpp_does_not_know_ends_the_answer() -> None:
    reader = LlamaCpp().reader(request(stop_token_ids=frozenset({17})), FACTS)
    [event] = reader.events({"content": "x", "tokens": [17], "stop": False})
    assert (event.finish, event.is_stop_token) == ("stop", True)


def test_an_old_llama_cpp_is_refused_and_a_missing_one_named(tmp_path: Path) -> None:
    model = tmp_path / "m.gguf"
    model.write_bytes(b"GGUF")
    old = program(tmp_path, "version: 4567 (abc)")
    with pytest.raises(AppError) as refused:
        LlamaCpp().check(ServeSpec(model=str(model), llama_server=old))
    assert refused.value.code == ErrorCode.EXTERNAL_ENGINE_OLD
    assert refused.value.params["found"] == "b4567"
    with pytest.raises(AppError) as missing:
        LlamaCpp().check(ServeSpec(model=str(model), llama_server=str(tmp_path / "none")))
    assert missing.value.code == ErrorCode.EXTERNAL_ENGINE_MISSING


def test_llama_cpp_takes_gguf_files_only(tmp_path: Path) -> None:
    good = program(tmp_path, "version: 9000 (abc)")
    with pytest.raises(AppError) as refused:
        LlamaCpp().check(ServeSpec(model=str(tmp_path), llama_server=good))
    assert refused.value.code == ErrorCode.ENGINE_UNAVAILABLE


@pytest.mark.parametrize(("found", "fine"), [("0.14.0", False), ("0.14.1", True),
                                             ("0.32.0+cpu", True), ("1.0", True)])  # fmt: skip
def test_vllm_is_refused_below_the_version_without_known_holes(
    tmp_path: Path, found: str, fine: bool
) -> None:
    spec = ServeSpec(model="m", vllm_python=program(tmp_path, found))
    if fine:
        Vllm().check(spec)
        return
    with pytest.raises(AppError) as refused:
        Vllm().check(spec)
    assert refused.value.code == ErrorCode.EXTERNAL_ENGINE_OLD


def test_keys_never_stand_in_the_command(tmp_path: Path) -> None:
    server = program(tmp_path, "version: 9000 (abc)")
    model = tmp_path / "m.gguf"
    model.write_bytes(b"GGUF")
    for dialect in (LlamaCpp(), Vllm()):
        spec = ServeSpec(model=str(model), llama_server=server, vllm_python=server)
        launch = dialect.launch(spec, 4321, "a-secret")
        assert "a-secret" not in " ".join(launch.command)
        assert "a-secret" in launch.environment.values()
        assert "127.0.0.1" in launch.command


def test_vllm_spreads_over_cards_and_machines_as_asked() -> None:
    spec = ServeSpec(model="m", vllm_python="p", tensor_parallel=4, ray_address="host:6379")
    launch = Vllm().launch(spec, 1, "k")
    line = " ".join(launch.command)
    assert "--tensor-parallel-size 4" in line
    assert "--distributed-executor-backend ray" in line
    assert launch.environment["RAY_ADDRESS"] == "host:6379"
    assert "--gpu-memory-utilization 0.85" in line


def test_tokens_of_one_piece_of_vllm_share_its_text_and_its_finish() -> None:
    reader = Vllm().reader(request(logprobs=1), FACTS)
    choice = {
        "text": "ab", "token_ids": [7, 2], "finish_reason": "stop",
        "logprobs": {"token_logprobs": [-0.5, -0.1],
                     "top_logprobs": [{"token_id:7": -0.5}, {"token_id:2": -0.1, "x": -9}]},
    }  # fmt: skip
    first, last = reader.events({"choices": [choice]})
    assert (first.token, first.text, first.finish) == (7, "", None)
    assert (last.token, last.text, last.finish, last.is_stop_token) == (2, "ab", "stop", True)
    assert first.logprob is not None
    assert first.logprob.top == ((7, -0.5),)


def test_the_usage_at_the_end_of_vllms_stream_is_no_event() -> None:
    assert Vllm().reader(request(), FACTS).events({"choices": [], "usage": {}}) == []
