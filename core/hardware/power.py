"""Send the machine to sleep or switch it off, the way a person's desktop would."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Literal

from core.errors import AppError, ErrorCode

Action = Literal["sleep", "shut_down"]
Run = Callable[[Sequence[str]], int]

_COMMANDS: dict[str, dict[Action, list[str]]] = {
    "linux": {"sleep": ["systemctl", "suspend"], "shut_down": ["systemctl", "poweroff"]},
    "darwin": {
        "sleep": ["pmset", "sleepnow"],
        "shut_down": ["osascript", "-e", 'tell app "System Events" to shut down'],
    },
    "win32": {
        # "0,1,0" would hibernate where hibernation is on; there is no plain command for sleep.
        "sleep": ["rundll32.exe", "powrprof.dll,SetSuspendState", "0,1,0"],
        "shut_down": ["shutdown", "/s", "/t", "0"],
    },
}


def command(action: Action, platform: str = sys.platform) -> list[str]:
    """The words to run for `action`; empty on a platform that has none."""
    return _COMMANDS.get(platform, {}).get(action, [])


def perform(action: Action, run: Run = lambda words: subprocess.run(words).returncode) -> None:
    """Do it now. Asking, waiting and cancelling are the face's.

    Raises:
        AppError: `power.refused` when this system has no such command or it said no.
    """
    words = command(action)
    if not words or shutil.which(words[0]) is None:
        raise AppError(ErrorCode.POWER_REFUSED, action=action, detail="no command for it here")
    code = run(words)
    if code:
        raise AppError(
            ErrorCode.POWER_REFUSED, action=action, detail=f"{words[0]} ended with {code}"
        )
