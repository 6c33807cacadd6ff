"""Every test has a DEEPDECK_HOME of its own, and leaves no process behind."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from core.paths import Home
from core.supervisor import Supervisor
from tests.fakes.runs import Runs

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A temporary home; also what `Home.default()` finds."""
    root = tmp_path / "deepdeck-home"
    monkeypatch.setenv("DEEPDECK_HOME", str(root))
    return Home(root)


@pytest.fixture(autouse=True)
def no_process_is_left(home: Home) -> Iterator[None]:
    """Fails a test that leaves a worker of its home running; the worker is ended either way."""
    yield
    left = list(_workers_of(home))
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.kill()
    assert not left, f"processes left behind: {left}"


def _workers_of(home: Home) -> Iterator[psutil.Process]:
    wanted = str(home.root)
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if any(wanted in word for word in process.cmdline()):
                yield process


@pytest.fixture
def supervisor(home: Home) -> Supervisor:
    return Supervisor(home)


@pytest.fixture
def runs(home: Home, supervisor: Supervisor) -> Iterator[Runs]:
    """Makes and drives runs of the fake worker; whatever still lives at the end is killed."""
    made = Runs(home, supervisor)
    yield made
    made.kill_all()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a real tmpfs of a given size; skips where mounting is not permitted."""
    from tests.fakes.disks import mounted

    with contextlib.ExitStack() as stack:

        def mount(size: str) -> Path:
            place = tmp_path / f"disk-{size}"
            place.mkdir()
            return stack.enter_context(mounted(place, size))

        yield mount
