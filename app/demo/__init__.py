"""`deepdeck demo`: the main job played by itself, in the window or on the terminal."""

from __future__ import annotations

import argparse
from pathlib import Path

from app.commands.output import Output

DEFAULT_FOLDER = "demo-output"


def main(args: argparse.Namespace, out: Output) -> int:
    """Play the demo; `--headless` on the terminal, else in the window."""
    if not args.headless:
        from app.demo.window import play_in_window

        return play_in_window()
    from app.demo.headless import play
    from core.paths import Home
    from core.services import build

    folder = Path(getattr(args, "out", None) or DEFAULT_FOLDER).absolute()
    return play(build(Home.default()), out, folder)
