"""One training a card; the rest waits, survives two windows and a damaged file."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from core.config.serve import ServeSpec
from core.config.train import TrainSpec
from core.errors import AppError, ErrorCode
from core.hardware import power
from core.paths import Home
from core.queue import Queue, QueueItem, QueueScheduler, QueueStore
from core.queue.devices import choose_device, devices_of
from core.runlog.index import RunSummary


def item(name: str, **spec: Any) -> QueueItem:
    return QueueItem(name=name, spec={"model": "m", "data": "d", **spec})


@dataclass
class Shop:
    """A train service and the runs it made: what the scheduler may know of the world."""

    cards: int = 1
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    alive: set[str] = field(default_factory=set)
    refuse: set[str] = field(default_factory=set)
    free_gib: dict[str, float] = field(default_factory=dict)

    def start(self, spec: TrainSpec) -> Any:
        if spec.name in self.refuse:
            raise AppError(ErrorCode.DATA_NOT_FOUND, path="d")
        run_id = f"run-{len(self.documents)}"
        self.documents[run_id] = {"spec": spec.model_dump(mode="json")}
        self.alive.add(run_id)
        return type("View", (), {"run_id": run_id})

    def resume(self, run_id: str) -> Any:
        self.alive.add(run_id)
        return type("View", (), {"run_id": run_id})

    def serve(self, spec: ServeSpec) -> Any:
        run_id = f"api-{len(self.documents)}"
        self.documents[run_id] = {"spec": spec.model_dump(mode="json")}
        self.alive.add(run_id)
        return type("View", (), {"run_id": run_id})

    def runs(self) -> list[RunSummary]:
        return [
            RunSummary(
                i,
                job="serve" if i.startswith("api") else "train",
                status="running" if i in self.alive else "completed",
                alive=i in self.alive,
            )
            for i in self.documents
        ]

    def device(self, run_id: str) -> str:
        return str(self.documents[run_id]["spec"]["device"])


def scheduler(tmp_path: Path, shop: Shop) -> tuple[QueueScheduler, QueueStore]:
    store = QueueStore(Home(tmp_path))
    made = QueueScheduler(
        store, shop, shop.runs, lambda run_id: shop.documents[run_id], lambda: shop.cards,
        lambda: shop.free_gib,
    )  # fmt: skip
    return made, store


def fill(store: QueueStore, *items: QueueItem) -> None:
    for one in items:
        store.change(lambda q, one=one: q.with_item(one))


def test_the_second_training_waits_until_the_first_has_ended(tmp_path: Path) -> None:
    shop = Shop()
    work, store = scheduler(tmp_path, shop)
    fill(store, item("a"), item("b"))
    assert [v.run_id for v in work.tick().started] == ["run-0"]
    assert work.tick().started == ()
    shop.alive.clear()
    assert [v.run_id for v in work.tick().started] == ["run-1"]
    assert [i.state for i in store.read().items] == ["ended", "started"]


def test_two_cards_take_two_trainings_and_each_gets_its_own(tmp_path: Path) -> None:
    shop = Shop(cards=2)
    work, store = scheduler(tmp_path, shop)
    fill(store, item("a"), item("b"), item("c"))
    started = [v.run_id for v in work.tick().started]
    assert [shop.device(i) for i in started] == ["cuda:0", "cuda:1"]


def test_a_training_that_was_started_by_hand_keeps_its_card(tmp_path: Path) -> None:
    shop = Shop()
    shop.start(TrainSpec(model="m", data="d", device="cuda:0"))
    work, store = scheduler(tmp_path, shop)
    fill(store, item("a"))
    assert work.tick().started == ()


def test_a_named_card_is_waited_for_while_a_later_training_takes_another(tmp_path: Path) -> None:
    shop = Shop(cards=2)
    shop.start(TrainSpec(model="m", data="d", device="cuda:0"))
    work, store = scheduler(tmp_path, shop)
    fill(store, item("first", device="cuda:0"), item("second"))
    work.tick()
    assert [(i.name, i.state) for i in store.read().items] == [
        ("first", "waiting"),
        ("second", "started"),
    ]


def test_one_that_cannot_start_says_why_and_holds_up_nobody(tmp_path: Path) -> None:
    shop = Shop(refuse={"bad"})
    work, store = scheduler(tmp_path, shop)
    fill(
        store, QueueItem(name="bad", spec={"model": "m", "data": "d", "name": "bad"}), item("good")
    )
    found = work.tick()
    assert [i.error.code for i in found.failed if i.error] == ["data.not_found"]
    assert [v.run_id for v in found.started] == ["run-0"]


def test_a_held_queue_starts_nothing(tmp_path: Path) -> None:
    work, store = scheduler(tmp_path, Shop())
    fill(store, item("a"))
    store.change(lambda q: q.model_copy(update={"held": True}))
    assert work.tick().started == ()


def test_what_comes_after_is_said_once_and_only_when_all_has_ended(tmp_path: Path) -> None:
    shop = Shop()
    work, store = scheduler(tmp_path, shop)
    fill(store, item("a"))
    store.change(lambda q: q.model_copy(update={"after": "shut_down"}))
    assert work.tick().finished is None
    shop.alive.clear()
    assert work.tick().finished == "shut_down"
    assert work.tick().finished is None


def test_a_stopped_run_goes_on_when_its_card_is_free(tmp_path: Path) -> None:
    shop = Shop()
    shop.start(TrainSpec(model="m", data="d"))
    shop.alive.clear()
    work, store = scheduler(tmp_path, shop)
    fill(store, QueueItem(name="again", resume="run-0"))
    assert [v.run_id for v in work.tick().started] == ["run-0"]


def test_two_windows_change_the_queue_at_once_and_lose_nothing(tmp_path: Path) -> None:
    def add(name: str) -> None:
        store = QueueStore(Home(tmp_path))
        for n in range(10):
            store.change(lambda q, n=n: q.with_item(item(f"{name}{n}")))

    threads = [threading.Thread(target=add, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(QueueStore(Home(tmp_path)).read().items) == 20


def test_a_damaged_file_is_set_aside_and_the_queue_begins_anew(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.queue_file.write_text("{", "utf-8")
    assert QueueStore(home).read() == Queue()
    assert [p.name[:13] for p in tmp_path.glob("queue-*")] == ["queue-damaged"]


def test_waiting_entries_can_be_moved_and_started_ones_stay() -> None:
    a, b, c = item("a"), item("b"), item("c")
    started = item("s").model_copy(update={"state": "started"})
    queue = Queue(items=(started, a, b, c)).moved(c.item_id, -2)
    assert [i.name for i in queue.items] == ["s", "c", "a", "b"]
    assert queue.moved(c.item_id, -5).waiting[0] is c
    assert queue.moved(started.item_id, 1) == queue


@pytest.mark.parametrize(
    ("device", "processes", "cards", "busy", "expected"),
    [
        ("auto", 1, 0, (), "cpu"),
        ("auto", 1, 0, ("cpu",), None),
        ("auto", 1, 2, ("cuda:0",), "cuda:1"),
        ("cpu", 1, 2, ("cuda:0", "cuda:1"), "cpu"),
        ("cuda:1", 1, 2, ("cuda:1",), None),
        ("auto", 2, 2, ("cuda:1",), None),
        ("auto", 2, 2, (), "auto"),
    ],
)
def test_who_gets_which_card(
    device: str, processes: int, cards: int, busy: tuple[str, ...], expected: str | None
) -> None:
    assert choose_device(device, processes, cards, busy) == expected


def test_several_processes_keep_several_cards_busy() -> None:
    assert devices_of("auto", 2, 4) == {"cuda:0", "cuda:1"}


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_every_platform_knows_how_to_sleep_and_to_switch_off(platform: str) -> None:
    assert power.command("sleep", platform)
    assert power.command("shut_down", platform)


def test_a_refused_shut_down_is_an_error_with_a_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(power, "command", lambda action: ["true"])
    with pytest.raises(AppError) as e:
        power.perform("shut_down", run=lambda words: 1)
    assert e.value.code is ErrorCode.POWER_REFUSED
    power.perform("shut_down", run=lambda words: 0)


def api(**spec: Any) -> QueueItem:
    return QueueItem(name="api", job="serve", spec={"model": "m", **spec})


def test_a_server_waits_for_the_training_on_its_card_and_then_starts(tmp_path: Path) -> None:
    shop = Shop()
    shop.start(TrainSpec(model="m", data="d", device="cuda:0"))
    work, store = scheduler(tmp_path, shop)
    fill(store, api(device="cuda:0"))
    assert work.startable() is None  # nothing that a window would have to check first
    assert work.tick().started == ()
    shop.alive.clear()
    assert [v.run_id for v in work.tick().started] == ["api-1"]


def needing(name: str, needed_gib: float | None, **spec: Any) -> QueueItem:
    return item(name, **spec).model_copy(update={"needed_gib": needed_gib})


def test_a_server_is_in_the_way_of_who_wants_to_be_alone_not_of_who_fits(tmp_path: Path) -> None:
    shop = Shop(free_gib={"cuda:0": 12.0})
    shop.serve(ServeSpec(model="m", device="cuda:0"))
    work, store = scheduler(tmp_path, shop)
    alone = needing("alone", 1.0).model_copy(update={"alone": True})
    fill(store, alone, needing("any", 8.0))
    work.tick()
    assert [(i.name, i.state) for i in store.read().items] == [
        ("alone", "waiting"),
        ("any", "started"),
    ]
    shop.alive.clear()
    work.tick()
    assert {i.name: i.state for i in store.read().items}["alone"] == "started"


@pytest.mark.parametrize("needed_gib", [13.0, None])
def test_no_training_starts_over_a_server_without_room_for_it(
    tmp_path: Path, needed_gib: float | None
) -> None:
    shop = Shop(free_gib={"cuda:0": 12.0})
    shop.serve(ServeSpec(model="m", device="cuda:0"))
    work, store = scheduler(tmp_path, shop)
    fill(store, needing("large", needed_gib))
    assert work.startable() is None
    assert work.tick().started == ()
    shop.alive.clear()
    assert work.tick().started


def test_a_card_without_a_server_is_taken_first(tmp_path: Path) -> None:
    shop = Shop(cards=2, free_gib={"cuda:0": 40.0, "cuda:1": 40.0})
    shop.serve(ServeSpec(model="m", device="cuda:0"))
    work, store = scheduler(tmp_path, shop)
    fill(store, needing("small", 8.0), needing("beside", 8.0))
    work.tick()
    assert [i.device for i in store.read().items] == ["cuda:1", "cuda:0"]


def test_a_server_on_the_processor_holds_no_training_up(tmp_path: Path) -> None:
    shop = Shop(cards=0)
    shop.serve(ServeSpec(model="m", device="cpu"))
    work, store = scheduler(tmp_path, shop)
    fill(store, needing("any", None))
    assert len(work.tick().started) == 1
