"""Take pictures of every page of the real window, for the README and for looking at them.

    python packaging/pictures.py --out DIR [--lang en zh_CN] [--scheme light dark]
                                 [--size 1360x860 1024x700] [--page train ...] [--home DIR]
                                 [--run ID [--alarm N | --tab NAME]]

Without --home an empty home is made; with it, the pages show what is there (`python -m
tests.gui.scenes DIR` writes invented runs, `python -m tests.gui.serve_scenes DIR busy --stay` one
that lives until Ctrl-C). Runs offscreen unless QT_QPA_PLATFORM says otherwise.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from app.bootstrap import Deck, adopt_living_runs, compose, make_app
from app.pages.registry import PAGES
from core.paths import Home

SETTLE_S = 0.4
MOST_S = 20.0


def settle(deck: Deck, wait_s: float = SETTLE_S) -> None:
    """Let the page fill: until background work is done and nothing was painted for a moment."""
    end, quiet = time.monotonic() + MOST_S, time.monotonic() + wait_s
    while time.monotonic() < min(end, quiet):
        deck.app.processEvents()
        deck.bridge.tick()
        if deck.background.busy:
            quiet = time.monotonic() + wait_s
        time.sleep(0.02)


def picture_name(page: str, lang: str, scheme: str, size: str, *, many_sizes: bool) -> str:
    """train-dark-zh_CN.png, with the size where several are taken."""
    return "-".join(p for p in (page, scheme, lang, size if many_sizes else "") if p) + ".png"


def main() -> int:
    """See the module's text."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--lang", nargs="*", default=["en", "zh_CN"])
    parser.add_argument("--scheme", nargs="*", default=["light", "dark"])
    parser.add_argument("--size", nargs="*", default=["1360x860"])
    parser.add_argument("--page", nargs="*", default=[p.page_id for p in PAGES])
    parser.add_argument("--home", type=Path)
    parser.add_argument("--run", default="", help="run to show on the train or deploy page")
    parser.add_argument("--alarm", type=int, help="open this alarm of the run, from 0")
    parser.add_argument("--tab", default="", help="of a server on the deploy page: self_test, ...")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as empty:
        take(args, Home((args.home or Path(empty)).resolve()))
    return 0


def take(args: argparse.Namespace, home: Home) -> None:
    """All pictures asked for, in one window."""
    deck = compose(make_app(), home)
    deck.window.show()
    deck.bridge.start()
    adopt_living_runs(deck)
    for lang in args.lang:
        deck.window.ctx.language.set_choice(lang)
        for scheme in args.scheme:
            deck.window.ctx.theme.set_preference(scheme)
            for size in args.size:
                deck.window.resize(*(int(n) for n in size.split("x")))
                for page in args.page:
                    watched = args.run and page in ("train", "deploy")
                    shown = {"run_id": args.run} if watched else {}
                    deck.window.navigate(page, **shown)
                    settle(deck)
                    if args.alarm is not None and page == "train":
                        deck.window.current_page.live.open_alarm(args.alarm)
                        settle(deck)
                    if args.tab and page == "deploy":
                        deck.window.current_page.live.tabs.choose(args.tab)
                        settle(deck)
                    name = picture_name(page, lang, scheme, size, many_sizes=len(args.size) > 1)
                    deck.window.grab().save(str(args.out / name))
                    print(args.out / name)
    deck.close()
    deck.window.close()


if __name__ == "__main__":
    sys.exit(main())
