"""Named API keys: shown once, kept as hashes, revoked at once, private on disk."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from core import api_keys, secrets
from core.api_keys import KeyUse, add_key, add_usage, list_keys, revoke_key, usage
from core.errors import AppError, ErrorCode, UsageError
from core.paths import PROJECT_ROOT, Home
from core.services.serve_keys import ServeKeysService


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_secret_is_nowhere_on_disk(home: Home) -> None:
    made = add_key(home, "phone")
    assert len(made.secret) > 30
    assert made.secret.startswith("dd-")
    for path in home.root.rglob("*"):
        if path.is_file():
            assert made.secret not in path.read_text()
    assert made.secret not in repr(made)
    assert made.key.ending == made.secret[-4:]
    assert list_keys(home) == (made.key,)


def test_two_keys_are_never_alike(home: Home) -> None:
    made = [add_key(home, f"key {i}") for i in range(20)]
    assert len({m.secret for m in made}) == len({m.key.id for m in made}) == 20


@pytest.mark.skipif(os.name != "posix", reason="rights are POSIX's")
def test_only_the_owner_can_read_the_files(home: Home) -> None:
    made = add_key(home, "phone")
    add_usage(home, {made.key.id: KeyUse(last_used_utc=1.0)})
    for path in (api_keys.keys_file(home), api_keys.usage_file(home)):
        assert mode(path) == 0o600
    assert mode(api_keys.keys_file(home).parent) == 0o700
    api_keys.keys_file(home).chmod(0o644)
    list_keys(home)
    assert mode(api_keys.keys_file(home)) == 0o600


@pytest.mark.parametrize("name", ["", " ", " a", "a ", "x" * 65, "deepdeck", "DeepDeck"])
def test_names_must_be_names_of_their_own(home: Home, name: str) -> None:
    with pytest.raises(UsageError) as refused:
        add_key(home, name)
    assert refused.value.code == ErrorCode.SERVE_KEY_INVALID


def test_a_name_is_taken_once_whatever_its_case(home: Home) -> None:
    add_key(home, "phone")
    with pytest.raises(UsageError):
        add_key(home, "Phone")
    assert len(list_keys(home)) == 1


def test_limits_below_zero_are_refused(home: Home) -> None:
    with pytest.raises(UsageError):
        add_key(home, "phone", requests_per_minute=-1)


def test_revoking_takes_one_key_away_by_name_or_id(home: Home) -> None:
    first, second, third = (add_key(home, n) for n in ("a", "b", "c"))
    assert revoke_key(home, "b").id == second.key.id
    assert revoke_key(home, first.key.id).name == "a"
    assert list_keys(home) == (third.key,)
    with pytest.raises(UsageError) as refused:
        revoke_key(home, "b")
    assert refused.value.code == ErrorCode.SERVE_KEY_UNKNOWN


def test_a_damaged_file_is_told_and_not_overwritten(home: Home) -> None:
    add_key(home, "phone")
    for text in ("{", '{"keys": [{"name": "x"}]}', '{"keys": 5}', "[]"):
        api_keys.keys_file(home).write_text(text)
        for act in (lambda: list_keys(home), lambda: add_key(home, "b")):
            with pytest.raises(AppError) as broken:
                act()
            assert broken.value.code == ErrorCode.FILE_DAMAGED
        assert api_keys.keys_file(home).read_text() == text


def test_fields_of_a_newer_version_do_no_harm(home: Home) -> None:
    add_key(home, "phone")
    document = json.loads(api_keys.keys_file(home).read_text())
    document["keys"][0]["color"] = "blue"
    api_keys.keys_file(home).write_text(json.dumps(document))
    assert list_keys(home)[0].name == "phone"


def test_keys_made_at_the_same_time_are_all_there(home: Home) -> None:
    threads = [threading.Thread(target=lambda i=i: add_key(home, f"key {i}")) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {k.name for k in list_keys(home)} == {f"key {i}" for i in range(8)}


def test_use_of_several_servers_adds_up(home: Home) -> None:
    for last, tokens in ((10.0, 5), (30.0, 7), (20.0, 1)):
        more = KeyUse(last_used_utc=last, day="2026-11-24", requests_today=1, tokens_today=tokens)
        add_usage(home, {"k": more})
    assert usage(home)["k"] == KeyUse(
        last_used_utc=30.0, day="2026-11-24", requests_today=3, tokens_today=13
    )


def test_a_new_day_starts_at_zero_and_an_old_one_changes_nothing(home: Home) -> None:
    monday = KeyUse(last_used_utc=1.0, day="2026-11-23", requests_today=4, tokens_today=40)
    tuesday = KeyUse(last_used_utc=2.0, day="2026-11-24", requests_today=1, tokens_today=2)
    assert monday.plus(tuesday).tokens_today == 2
    assert tuesday.plus(monday) == tuesday
    assert monday.on("2026-11-24").tokens_today == 0


def test_a_lost_count_is_no_error(home: Home) -> None:
    add_key(home, "phone")
    api_keys.usage_file(home).write_text("not json")
    assert usage(home) == {}
    add_usage(home, {"k": KeyUse(last_used_utc=1.0)})
    assert usage(home)["k"].last_used_utc == 1.0


def test_the_service_tells_keys_with_their_use(home: Home) -> None:
    service = ServeKeysService(home)
    made = service.add("phone", days=-1, tokens_per_day=10)
    add_usage(home, {made.key.id: KeyUse(last_used_utc=5.0, day="2000-01-01", tokens_today=9)})
    info = service.list()[0]
    assert info.expired
    assert (info.use.last_used_utc, info.use.tokens_today) == (5.0, 0)


def test_the_window_s_own_key_is_another_one(home: Home) -> None:
    own = secrets.api_key(home)
    add_key(home, "phone")
    assert secrets.api_key(home) == own
    assert secrets.new_api_key(home) != own


def cli(home: Home, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DEEPDECK_HOME": str(home.root), "PYTHONPATH": str(PROJECT_ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "app", "keys", *words, "--json"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_line_adds_lists_and_revokes(home: Home) -> None:
    made = json.loads(cli(home, "add", "phone", "--tokens-per-minute", "500").stdout)
    assert api_keys.digest(made["api_key"]) == list_keys(home)[0].sha256
    listed = cli(home, "list").stdout
    assert json.loads(listed)["tokens_per_minute"] == 500
    assert made["api_key"] not in listed
    assert "sha256" not in listed
    assert cli(home, "revoke", "phone").returncode == 0
    assert list_keys(home) == ()
    assert cli(home, "revoke", "phone").returncode == 2
