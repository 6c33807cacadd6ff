"""Break a real run in the real window, watch the guard save it, and take pictures of that.

    python packaging/rescue.py --out DIR [--guard rollback|pause] [--at-step 45] [--factor 100]
                               [--lang en] [--scheme light] [--size 1360x860]

The starter model is trained on the sample data (some minutes on a CPU). At the step the learning
rate is multiplied, as a person would by the button. With `--guard pause` the run is rolled back by
the button on its card. Runs offscreen unless QT_QPA_PLATFORM says otherwise (`xvfb-run`).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from app.bootstrap import Deck, compose, make_app
from app.pages.train import TrainPage
from core.config.train import TrainSpec
from core.paths import RESOURCES, Home
from core.supervisor import RunView

MOST_S = 900.0
STEPS = 140


class Rescue:
    """One broken run, from its start to its end."""

    def __init__(self, deck: Deck, args: argparse.Namespace) -> None:
        self._deck = deck
        self._args = args
        deck.window.navigate("train")
        page = deck.window.current_page
        assert isinstance(page, TrainPage)
        self._page = page

    def play(self) -> bool:
        """True when the run was rolled back and came to its end."""
        view = self._deck.window.ctx.services.train.start(spec(self._args.guard))
        self._page.show_run(view.run_id)
        self._wait(lambda: self._view.series.last_step >= self._args.at_step)
        self._page.model.set_lr_scale(self._args.factor)
        if self._args.guard == "pause":
            self._wait(lambda: self._page.live.ask.asks)
            self._picture("paused")
            self._page.live.ask.answers["roll_back"].click()
        self._wait(lambda: bool(self._view.state.rollbacks))
        self._pump(5)
        self._picture("rolled-back")
        self._picture_alarm()
        self._wait(lambda: self._view.finished)
        self._pump(4)  # the worker goes, and the page tells the result
        self._picture("saved")
        ended = self._view
        print(ended.status, [(r.step, r.to_step) for r in ended.state.rollbacks])
        return ended.status == "completed" and bool(ended.state.rollbacks)

    @property
    def _view(self) -> RunView:
        view = self._page.model.view
        assert view is not None
        return view

    def _picture_alarm(self) -> None:
        alarms = self._view.state.alarms
        gravest = max(range(len(alarms)), key=lambda n: alarms[n].severity == "error")
        self._page.live.open_alarm(gravest)
        self._pump(1)
        self._picture("alarm")
        self._page.live.close_alarms()

    def _picture(self, name: str) -> None:
        path = self._args.out / f"{name}-{self._args.scheme}-{self._args.lang}.png"
        self._deck.window.grab().save(str(path))
        print(path)

    def _wait(self, done: Callable[[], bool]) -> None:
        end = time.monotonic() + MOST_S
        while not done() and not self._view.finished:
            self._pump(0.2)
            if time.monotonic() > end:
                raise TimeoutError("the run is too slow")
        self._pump(1)

    def _pump(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._deck.app.processEvents()
            time.sleep(0.01)


def spec(guard: str) -> TrainSpec:
    """A healthy run of some minutes."""
    return TrainSpec.parse(
        {
            "model": "deepdeck-starter",
            "data": str(RESOURCES / "datasets" / "deepdeck-sample"),
            "max_steps": STEPS,
            "learning_rate": 3e-3,
            "lora": {"r": 16, "target_modules": ["all-linear"]},
            "seq_len": 128,
            "per_device_train_batch_size": 2,
            "gradient_accumulation_steps": 2,
            "eval_steps": 40,
            "eval_max_samples": 8,
            "save_steps": 40,
            "sample_prompts": ["What is DNS?"],
            "guard": guard,
            "rollback": {"snapshot_steps": 10},
        }
    )


def main() -> int:
    """See the module's text."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--guard", choices=["rollback", "pause"], default="rollback")
    parser.add_argument("--at-step", type=int, default=45)
    parser.add_argument("--factor", type=float, default=100.0)
    parser.add_argument("--lang", default="en")
    parser.add_argument("--scheme", default="light")
    parser.add_argument("--size", default="1360x860")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        deck = compose(make_app(), Home(Path(folder).resolve()))
        deck.window.ctx.language.set_choice(args.lang)
        deck.window.ctx.theme.set_preference(args.scheme)
        deck.window.resize(*(int(n) for n in args.size.split("x")))
        deck.window.show()
        deck.bridge.start()
        saved = Rescue(deck, args).play()
        deck.close()
        deck.window.close()
    return 0 if saved else 1


if __name__ == "__main__":
    sys.exit(main())
