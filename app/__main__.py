"""The way in: no argument opens the window, a subcommand runs without one."""

from __future__ import annotations

import sys


def main() -> int:
    """Entry point of `deepdeck` and `python -m app`."""
    if len(sys.argv) > 1:
        from app.cli import main as run_command

        return run_command(sys.argv[1:])
    from app.bootstrap import run_window

    return run_window()


if __name__ == "__main__":
    sys.exit(main())
