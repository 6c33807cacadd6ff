"""Services that need no worker: previews, addresses, the API key."""

from __future__ import annotations

import json
import multiprocessing
import socket
import sys
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from core.config.serve import ServeSpec
from core.config.train import TrainSpec
from core.errors import AppError, UsageError
from core.paths import STARTER_MODEL, Home
from core.secrets import api_key, new_api_key
from core.services import Services, build
from core.services.serve import check_address
from core.services.train import SpecProblems

needs_starter = pytest.mark.skipif(
    not (STARTER_MODEL / "config.json").exists(), reason="the starter model is not in this tree"
)


@pytest.fixture
def services(home: Home) -> Services:
    return build(home)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    file = tmp_path / "law.jsonl"
    rows = ({"instruction": f"What is {n}?", "output": f"It is {n}."} for n in range(100))
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_building_the_services_writes_nothing(services: Services, home: Home) -> None:
    assert services.runs.list() == []
    assert not home.root.exists()


@needs_starter
def test_a_preview_counts_samples_and_steps(services: Services, data: Path) -> None:
    spec = TrainSpec(
        model="deepdeck-starter",
        data=str(data),
        epochs=2,
        batch_size=4,
        gradient_accumulation_steps=2,
    )
    plan = services.train.prepare(spec)
    assert plan.train_samples == plan.dataset.counts["train"] == 95
    assert plan.eval_samples == 5
    assert plan.steps_per_epoch == 12
    assert plan.total_steps == 24
    assert plan.warmup_steps == 3
    assert plan.spec.model == str(STARTER_MODEL)


@needs_starter
def test_steps_of_packed_rows_are_called_an_estimate_and_are_fewer(
    services: Services, data: Path
) -> None:
    base = TrainSpec(
        model="deepdeck-starter",
        data=str(data),
        epochs=1,
        batch_size=1,
        gradient_accumulation_steps=1,
    )
    plain = services.train.prepare(base)
    packed = services.train.prepare(base.model_copy(update={"packing": True, "seq_len": 512}))
    assert (plain.total_steps, plain.steps_are_estimate) == (95, False)
    assert packed.steps_are_estimate
    assert 1 <= packed.total_steps <= 10  # 4.6 kB of rows are about 1,150 tokens


@needs_starter
def test_a_relative_path_becomes_absolute(
    services: Services, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(data.parent)
    plan = services.train.prepare(TrainSpec(model="deepdeck-starter", data=data.name))
    assert plan.spec.data == str(data)


@needs_starter
def test_a_warm_up_longer_than_the_run_is_refused(services: Services, data: Path) -> None:
    spec = TrainSpec(model="deepdeck-starter", data=str(data), epochs=0.1, warmup_steps=50)
    with pytest.raises(SpecProblems) as e:
        services.train.prepare(spec)
    assert [p.code for p in e.value.problems] == ["train.warmup_too_long"]


def test_every_problem_of_a_spec_is_found_at_once(services: Services) -> None:
    with pytest.raises(SpecProblems) as e:
        services.train.prepare(TrainSpec(model="nope", data="/nope"))
    assert [p.code for p in e.value.problems] == ["model.not_found", "data.not_found"]
    assert isinstance(e.value, UsageError)
    assert e.value.code == "model.not_found"


@needs_starter
def test_an_adapter_is_found_by_run_id_by_run_folder_and_by_its_own(
    services: Services, home: Home
) -> None:
    adapter = home.runs / "20260101-train" / "adapter"
    adapter.mkdir(parents=True)
    (adapter / "adapter_config.json").write_text("{}")
    for name in ("20260101-train", str(adapter.parent), str(adapter)):
        spec = services.serve.prepare(ServeSpec(model="deepdeck-starter", adapter=name, port=0))
        assert spec.adapter == str(adapter)
    with pytest.raises(UsageError, match=r"adapter\.not_found"):
        services.serve.prepare(ServeSpec(model="deepdeck-starter", adapter="20260102-train"))


@needs_starter
def test_programs_of_a_server_are_found_from_any_folder(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    prepare = services.serve.prepare
    asked = ServeSpec(model="deepdeck-starter", port=0, llama_server="bin/llama-server")
    assert prepare(asked).llama_server == str(tmp_path / "bin" / "llama-server")
    asked = asked.model_copy(update={"llama_server": "llama-server", "vllm_python": "~/bin/python"})
    assert prepare(asked).llama_server == "llama-server"
    assert prepare(asked).vllm_python == str(tmp_path / "bin" / "python")


def test_an_address_is_free_taken_or_not_ours() -> None:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        with pytest.raises(UsageError, match=r"serve\.port_in_use"):
            check_address("127.0.0.1", port)
    check_address("127.0.0.1", port)
    check_address("127.0.0.1", 0)
    for host in ("192.0.2.1", "no such host.invalid", "a" * 300):
        with pytest.raises(UsageError, match=r"serve\.host_unavailable"):
            check_address(host, 0)


def test_the_key_is_made_once_and_is_only_ours(home: Home) -> None:
    key = api_key(home)
    assert key == api_key(home)
    assert len(key) >= 22 + len("dd-")  # 128 bits need 22 characters of base 64
    assert home.api_key_file.stat().st_mode & 0o777 == 0o600
    assert home.api_key_file.parent.stat().st_mode & 0o777 == 0o700
    files = list(home.api_key_file.parent.iterdir())
    assert {f.name for f in files} == {"api_key", ".lock"}  # nothing half-made is left
    assert all(f.stat().st_mode & 0o077 == 0 for f in files)


def test_a_key_that_others_may_read_is_closed_again(home: Home) -> None:
    key = api_key(home)
    home.api_key_file.chmod(0o644)
    assert api_key(home) == key
    assert home.api_key_file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("damage", ["", "\n", "short"])
def test_a_torn_key_is_replaced(home: Home, damage: str) -> None:
    home.api_key_file.parent.mkdir(parents=True)
    home.api_key_file.write_text(damage)
    assert len(api_key(home)) > 20


def test_a_new_key_replaces_the_old(home: Home) -> None:
    old = api_key(home)
    assert new_api_key(home) != old
    assert api_key(home) != old


def _ask(root: str) -> str:
    return api_key(Home(Path(root)))


def test_many_that_ask_at_once_get_the_same_key(home: Home) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        keys = pool.map(_ask, [str(home.root)] * 16, chunksize=1)
    assert len(set(keys)) == 1


def _ask_slowly(root: str, looked: Event, other_has_its_key: Event, told: Queue[str]) -> None:
    """Ask, and stand still between the look (there is no key) and the first step of making one."""
    looks: list[str] = []

    def hook(name: str, arguments: tuple[object, ...]) -> None:
        target = str(arguments[0]) if arguments else ""
        if not target.startswith(root) or looked.is_set():
            return
        if not looks:
            looks.append(target)
            return
        looked.set()
        other_has_its_key.wait(20)

    sys.addaudithook(hook)
    told.put(api_key(Home(Path(root))))


@pytest.mark.parametrize("torn", [False, True])
def test_a_key_that_another_process_was_told_stays_the_key(home: Home, torn: bool) -> None:
    if torn:
        home.api_key_file.parent.mkdir(parents=True)
        home.api_key_file.write_text("short")
    context = multiprocessing.get_context("spawn")
    looked, done, told = context.Event(), context.Event(), context.Queue()
    slow = context.Process(target=_ask_slowly, args=(str(home.root), looked, done, told))
    slow.start()
    try:
        assert looked.wait(60)
        key = api_key(home)
        done.set()
        assert told.get(timeout=60) == key
        assert api_key(home) == key
    finally:
        done.set()
        slow.join(60)


def test_a_finished_run_cannot_be_stopped_and_an_unknown_one_not_be_shown(
    services: Services,
) -> None:
    with pytest.raises(AppError, match=r"run\.not_found"):
        services.runs.show("nope")
    with pytest.raises(AppError, match=r"run\.not_found"):
        services.runs.stop("nope")
