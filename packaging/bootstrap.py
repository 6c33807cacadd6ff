"""Sets DeepDeck up and starts it. Standard library only; run by `./deepdeck` and `deepdeck.cmd`.

Where packages come from is pip's configuration alone: no index is named here.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(1, str(ROOT))

import bootstrap_env as environment  # noqa: E402
import bootstrap_system as system  # noqa: E402
from bootstrap_console import Console, StepFailed  # noqa: E402
from bootstrap_tests import run_tests  # noqa: E402
from bootstrap_text import text  # noqa: E402

LOG = ROOT / "build" / "setup.log"
LOCK = ROOT / "build" / "setup.lock"
WINDOW_MARK = environment.SETUP / "window"

_NETWORK_WORDS = ("ConnectionError", "Connection refused", "Temporary failure in name resolution",
                  "Max retries", "timed out", "Network is unreachable", "ProxyError", "SSLError",
                  "NewConnectionError")  # fmt: skip


def main(arguments: list[str]) -> int:
    """Set up what the command needs, then run it."""
    try:
        console = Console(LOG)
    except OSError as e:
        print(text("read_only", folder=ROOT, detail=e), file=sys.stderr)
        return 1
    command = arguments[0] if arguments else ""
    try:
        with _lock(console):
            _set_up(console, command, arguments)
    except KeyboardInterrupt:
        console.say(text("interrupted"))
        return 130
    except StepFailed as e:
        _explain(console, e)
        return 1
    except OSError as e:
        console.say(text("read_only", folder=ROOT, detail=e))
        return 1
    if command == "setup":
        return 0
    if command == "test":
        return run_tests(arguments[1:])
    return _start(arguments)


def wants_window(arguments: list[str]) -> bool:
    """As the launcher decides: the command line needs no window's libraries."""
    if not arguments:
        return True
    if arguments[0] in ("-h", "--help", "--version"):
        return False
    if arguments[0] == "demo":
        return not {"--headless", "-h", "--help"} & set(arguments)
    return arguments[0] == "setup" or arguments[0].startswith("-")


def _set_up(console: Console, command: str, arguments: list[str]) -> None:
    kind = "test" if command == "test" else "runtime"
    window = wants_window(arguments)
    repair = command == "setup" and "--repair" in arguments
    if repair or not environment.is_installed(kind):
        began = time.monotonic()
        console.say(text("first_time", folder=environment.VENV, log=LOG))
        system.ensure_venv_module(console)
        whole = system.ensure_libraries(console, window=window, tests=command == "test")
        environment.install(console, kind, repair=repair)
        console.say(text("ready", seconds=time.monotonic() - began))
    else:
        whole = system.ensure_libraries(console, window=window, tests=command == "test")
    if window and whole:
        WINDOW_MARK.touch()
    if whole or not (window or command in ("demo", "test")):
        return
    system.explain_missing(console, window=window)
    # A set-up alone did its part, and on Wayland Qt may do without X11.
    if command != "setup" and not (window and os.environ.get("WAYLAND_DISPLAY")):
        raise SystemExit(1)


def _start(arguments: list[str]) -> int:
    """Become the program; where a process cannot be replaced (Windows), wait for it."""
    command = [str(environment.python_in_venv()), "-P", "-m", "app", *arguments]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    if os.name == "nt":
        return subprocess.run(command, env=env, check=False).returncode
    sys.stdout.flush()
    return os.execve(command[0], command, env)


@contextlib.contextmanager
def _lock(console: Console) -> Iterator[None]:
    """One set-up at a time in this folder; the lock goes with the process, however it ends."""
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    with LOCK.open("a+b") as file:
        if not _try_lock(file.fileno()):
            console.say(text("waiting"))
            while not _try_lock(file.fileno()):
                environment.wait_a_moment()
        yield


def _try_lock(fd: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(fd, 0, os.SEEK_SET)
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _explain(console: Console, failure: StepFailed) -> None:
    console.say(text("failed", phase=failure.phase))
    for line in failure.tail:
        console.say("    " + line)
    console.say(_hint("\n".join(failure.tail)))
    console.say(text("log", log=LOG))


def _hint(tail: str) -> str:
    if "No space left" in tail:
        free = shutil.disk_usage(ROOT).free / 1e9
        return text("hint_space", free=f"{free:.1f} GB")
    if any(word in tail for word in _NETWORK_WORDS):
        return text("hint_network")
    if "No matching distribution" in tail:
        return text("hint_not_found", python=environment.version())
    return text("hint_other", script="deepdeck.cmd" if os.name == "nt" else "./deepdeck")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
