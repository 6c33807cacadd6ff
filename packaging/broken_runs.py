"""Break trainings on purpose in the real window, and take pictures of how they are saved.

    python packaging/broken_runs.py --out DIR [--scene lr nan weights] [--lang en] [--scheme dark]

Three scenes with the bundled starter model on the processor, a minute or two each:

* lr: the learning rate is multiplied by 100 in flight,
* nan: one sample makes the loss NaN, because its token has a NaN embedding in a copy of the model,
* weights: the adapter in the newest checkpoint is damaged (with a fitting manifest) and resumed.

Nothing in the product knows of this script: it uses the page's buttons, the control file, and
files, as bad luck would.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from app.bootstrap import Deck, compose, make_app
from app.pages.train import TrainPage
from core.config.train import TrainSpec
from core.paths import QUICK_DATASET, STARTER_MODEL, Home
from core.protocol.commands import SetLearningRateCommand, StopCommand
from core.supervisor import RunView

MOST_S = 420.0


class Scene:
    """One run in the window."""

    def __init__(self, deck: Deck, out: Path, name: str) -> None:
        self.deck, self.out, self.name = deck, out, name
        self.run_id = ""
        self._pictures = 0

    def start(self, **values: Any) -> None:
        """Start a training as the form would, and show it."""
        spec = TrainSpec.parse({
            "model": str(STARTER_MODEL), "data": str(QUICK_DATASET), "max_steps": 160,
            "per_device_train_batch_size": 8, "gradient_accumulation_steps": 1, "seq_len": 192,
            "learning_rate": 2e-3, "eval_steps": 0, "eval_max_samples": 8, "guard": "rollback",
            "lora": {"r": 16, "lora_alpha": 32, "target_modules": ["all-linear"]},
            "rollback": {"snapshot_steps": 10}, "device": "cpu", "name": f"broken: {self.name}",
            "sample_prompts": ["What is a loss?"],
            **values,
        })  # fmt: skip
        services = self.deck.window.ctx.services
        self.run_id = services.train.start(spec).run_id
        self.show()

    def show(self) -> None:
        self.deck.window.navigate("train", run_id=self.run_id)

    @property
    def page(self) -> TrainPage:
        page = self.deck.window.current_page
        assert isinstance(page, TrainPage)
        return page

    @property
    def view(self) -> RunView:
        return self.deck.window.ctx.services.supervisor.view(self.run_id)

    def wait(self, done: Callable[[RunView], bool], what: str) -> None:
        """Let the window live until something holds."""
        end = time.monotonic() + MOST_S
        while not done(self.view):
            self.turn()
            if time.monotonic() > end:
                raise SystemExit(f"{self.name}: waited in vain for {what}")
            if self.view.finished and not self.view.alive and not done(self.view):
                raise SystemExit(f"{self.name}: ended before {what}: {self.view.error}")
        self.settle(0.6)

    def settle(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.turn()

    def turn(self) -> None:
        self.deck.app.processEvents()
        time.sleep(0.01)

    def picture(self, what: str) -> None:
        self._pictures += 1
        self.settle(0.6)
        path = self.out / f"{self.name}-{self._pictures}-{what}.png"
        self.deck.window.grab().save(str(path))
        print(path, flush=True)

    def tell(self) -> None:
        """What happened, for the console."""
        state = self.view.state
        for alarm in state.alarms:
            print(f"  step {alarm.step}: {alarm.alarm} {alarm.severity} -> {alarm.action}"
                  f" {[f.code for f in alarm.diagnosis]}")  # fmt: skip
        for back in state.rollbacks:
            print(f"  rolled back {back.step} -> {back.to_step}, scale {back.lr_scale:.3g},"
                  f" skipped {back.skipped_samples}")  # fmt: skip
        print(f"  {self.view.status}, loss {state.step.loss if state.step else None}", flush=True)


def steps(count: int) -> Callable[[RunView], bool]:
    return lambda view: view.state.steps_done >= count


def lr(scene: Scene) -> None:
    """The rate times 100 at step 60."""
    scene.start()
    scene.wait(steps(60), "step 60")
    scene.picture("healthy")
    services = scene.deck.window.ctx.services
    services.supervisor.send(scene.run_id, SetLearningRateCommand(lr_scale=100.0))
    scene.wait(lambda v: bool(v.state.rollbacks), "a rollback")
    scene.picture("rolled-back")
    open_alarm(scene)
    scene.page.live.close_alarms()
    scene.wait(lambda v: v.finished or v.state.paused, "the end")
    scene.show()
    scene.picture("end")
    scene.tell()


def nan(scene: Scene) -> None:
    """A sample whose token has no finite embedding."""
    folder = Path(tempfile.mkdtemp())
    model, data = poisoned(folder)
    scene.start(model=str(model), data=str(data), max_steps=90, guard="pause")
    scene.wait(lambda v: any(a.alarm == "non_finite" for a in v.state.alarms), "the alarm")
    scene.picture("nan")
    open_alarm(scene)
    exclude(scene)
    scene.wait(lambda v: v.finished or v.state.paused, "the end")
    scene.show()
    scene.picture("end")
    scene.tell()


def weights(scene: Scene) -> None:
    """A damaged adapter in a checkpoint that looks whole."""
    scene.start(max_steps=140, save_steps=20, save_total_limit=6)
    scene.wait(steps(70), "step 70")
    services = scene.deck.window.ctx.services
    services.supervisor.send(scene.run_id, StopCommand())
    scene.wait(lambda v: v.finished and not v.alive, "the stop")
    damage_newest(scene.view.run.checkpoints)
    services.train.resume(scene.run_id)
    scene.show()
    scene.wait(lambda v: bool(v.state.rollbacks) or v.state.paused, "a rollback or a pause")
    scene.picture("rolled-back")
    open_alarm(scene)
    scene.page.live.close_alarms()
    scene.wait(lambda v: v.finished or v.state.paused, "the end")
    scene.show()
    scene.picture("end")
    scene.tell()


def open_alarm(scene: Scene) -> None:
    """The gravest alarm over the plots, as a click on its card opens it."""
    live = scene.page.live
    alarms = scene.view.state.alarms
    live.open_alarm(max(range(len(alarms)), key=lambda n: alarms[n].severity == "error"))
    scene.settle(1.0)
    scene.picture("alarm")


def exclude(scene: Scene) -> None:
    """Leave the checked samples out and go on, by the button of the open alarm."""
    scene.page.live.alarm_view.buttons["exclude"].click()
    scene.wait(lambda v: bool(v.state.excluded), "the exclusion")
    scene.page.live.close_alarms()


def poisoned(folder: Path) -> tuple[Path, Path]:
    """A copy of the starter model in which one token's embedding is NaN, and data in which one
    sample has that token.
    """
    import torch
    from safetensors.torch import load_file, save_file
    from transformers import AutoTokenizer

    path = folder / "poisoned"
    shutil.copytree(STARTER_MODEL, path)
    source = next(p for p in sorted(QUICK_DATASET.rglob("*.jsonl")) if "train" in str(p))
    rows = source.read_text("utf-8").splitlines()[:300]
    token, word = unused_word(AutoTokenizer.from_pretrained(path), rows)
    file = next(path.glob("*.safetensors"))
    tensors = load_file(file)
    name = next(n for n in tensors if "embed_tokens" in n)
    # The head gets its own copy: with tied weights one NaN row would spoil every prediction.
    tensors["lm_head.weight"] = tensors[name].clone()
    config = json.loads((path / "config.json").read_text("utf-8")) | {"tie_word_embeddings": False}
    (path / "config.json").write_text(json.dumps(config), "utf-8")
    tensors[name] = tensors[name].clone()
    tensors[name][token] = torch.nan
    save_file(tensors, file, metadata={"format": "pt"})
    turns = (("user", f"What is{word}?"), ("assistant", f"Nobody knows what{word} is."))
    bad = {"messages": [{"role": role, "content": text} for role, text in turns]}
    rows.insert(150, json.dumps(bad, ensure_ascii=False))
    data = folder / "one-bad-sample.jsonl"
    data.write_text("\n".join(rows) + "\n", "utf-8")
    return path, data


def unused_word(tokenizer: Any, rows: list[str]) -> tuple[int, str]:
    """A token that no row has, with the text that becomes just this token."""
    text = " ".join(
        str(message["content"]) for row in rows for message in json.loads(row)["messages"]
    )
    used = set(tokenizer.encode(text, add_special_tokens=False))
    for token in range(len(tokenizer) - 1, 0, -1):
        word = tokenizer.decode([token])
        if token in used or not word.startswith(" ") or not word[1:].isalpha() or len(word) < 5:
            continue
        if token in tokenizer.encode(f"What is{word}?", add_special_tokens=False):
            return token, word
    raise SystemExit("every word of the vocabulary is used")


def damage_newest(checkpoints: Path) -> None:
    """Multiply the adapter by 40 and let the manifest agree."""
    from safetensors.torch import load_file, save_file

    from workers.train.checkpoint_files import write_manifest

    newest = max(checkpoints.glob("step-*"))
    file = newest / "adapter_model.safetensors"
    save_file({k: v * 40 for k, v in load_file(file).items()}, file, metadata={"format": "pt"})
    (newest / "manifest.json").unlink()
    write_manifest(newest)


def main() -> None:
    """See the module's text."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--scene", nargs="*", default=["lr", "nan", "weights"])
    parser.add_argument("--lang", default="en")
    parser.add_argument("--scheme", default="dark")
    parser.add_argument("--size", default="1360x860")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        deck = compose(make_app(), Home(Path(home).resolve()))
        deck.window.ctx.language.set_choice(args.lang)
        deck.window.ctx.theme.set_preference(args.scheme)
        deck.window.resize(*(int(n) for n in args.size.split("x")))
        deck.window.show()
        deck.bridge.start()
        for name in args.scene:
            print(name, flush=True)
            {"lr": lr, "nan": nan, "weights": weights}[name](Scene(deck, args.out, name))
        deck.close()


if __name__ == "__main__":
    main()
