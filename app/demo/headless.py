"""The demo without a window: the same services, told line by line."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from app.commands.follow import Interrupts
from app.commands.output import Output
from app.demo.plan import DemoPlan, ask, error_of, make_plan
from app.demo.texts import tell
from app.messages import split_text
from core.config.serve import ServeSpec
from core.paths import PROJECT_ROOT
from core.protocol.events import EvalDone, TrainStep
from core.services import Services
from core.services.report import write_report
from core.supervisor import RunView

_TICK_S = 0.05
_SAY_EVERY_S = 5.0
_PICTURES_TIMEOUT_S = 150
_PAGES = ("overview", "models", "data", "train", "deploy", "chat", "runs")
_SHOWN_MEDIAN_OF = 50


class Interrupted(Exception):
    """Ctrl-C: everything was stopped."""


@dataclass(frozen=True)
class Told:
    """What came out."""

    run: RunView
    before: tuple[str, ...]
    after: tuple[str, ...]


def play(services: Services, out: Output, folder: Path, plan: DemoPlan | None = None) -> int:
    """Play the main job; 0 when it is done, 130 after Ctrl-C. Leaves no process behind.

    Raises:
        AppError: what went wrong in one of its runs, or before.
    """
    began = time.monotonic()
    stage = _Stage(services, out)
    with Interrupts() as interrupts:
        stage.interrupts = interrupts
        try:
            _play(stage, folder, plan or make_plan())
        except Interrupted:
            stage.say("interrupted")
            return 130
        finally:
            stage.clear()
    stage.say("done", seconds=time.monotonic() - began)
    out.object("demo.done", seconds=round(time.monotonic() - began, 1), folder=folder)
    return 0


def _play(stage: _Stage, folder: Path, plan: DemoPlan) -> None:
    stage.say("intro", samples=plan.train_samples)
    stage.say("serving_base")
    before = stage.answers(plan, adapter=None)
    trained = _train(stage, plan)
    stage.say("serving_tuned")
    server = stage.serve(plan, adapter=trained.run_id)
    after = stage.ask(plan, server)
    folder.mkdir(parents=True, exist_ok=True)
    report = write_report(trained, folder / "report.html", stage.out.language)
    stage.say("pictures")
    pictures = _take_pictures(stage, folder, trained.run_id)
    stage.stop(server)
    _tell_result(stage, plan, Told(trained, before, after))
    stage.say("report", path=report)
    if pictures:
        stage.say("folder", path=folder)
    stage.out.object("demo.files", report=report, pictures=pictures)


class _Stage:
    """Runs of the demo and how they are followed."""

    def __init__(self, services: Services, out: Output) -> None:
        self.services = services
        self.out = out
        self.interrupts: Interrupts | None = None
        self._open: list[str] = []

    def say(self, key: str, **facts: object) -> None:
        self.out.line(tell(key, self.out.language, **facts))

    def follow(
        self, view: RunView, until: Callable[[RunView], bool], each: Callable[[RunView], None]
    ) -> RunView:
        """Tick until `until`; what fails raises its own error."""
        self._open.append(view.run_id)
        while not until(view):
            if self.interrupts is not None and self.interrupts.count:
                raise Interrupted
            for changed in self.services.supervisor.tick():
                if changed.run_id == view.run_id:
                    view = changed
                    each(view)
            if _is_over(view) and not until(view):
                raise error_of(view)
            time.sleep(_TICK_S)
        return view

    def answers(self, plan: DemoPlan, adapter: str | None) -> tuple[str, ...]:
        """Serve, ask, stop."""
        server = self.serve(plan, adapter)
        answers = self.ask(plan, server)
        self.stop(server)
        return answers

    def serve(self, plan: DemoPlan, adapter: str | None) -> RunView:
        """A server on a free port, ready for questions."""
        spec = ServeSpec(model=plan.spec.model, adapter=adapter, port=0)
        view = self.follow(self.services.serve.start(spec), _is_ready, _ignore)
        assert view.state.ready is not None
        self.say("ready", url=view.state.ready.url)
        return view

    def ask(self, plan: DemoPlan, server: RunView) -> tuple[str, ...]:
        """The answers to the plan's questions."""
        ready = server.state.ready
        assert ready is not None
        key = self.services.serve.api_key()
        name = ready.model_id
        answers = tuple(ask(ready.url, key, name, q) for q in plan.questions)
        self.out.object("demo.answers", model=name, questions=plan.questions, answers=answers)
        return answers

    def stop(self, view: RunView) -> None:
        """Stop a run and wait until it is gone."""
        if view.alive:
            self.services.supervisor.stop(view.run_id)
        self.follow(self.services.supervisor.view(view.run_id), _is_over, _ignore)

    def clear(self) -> None:
        """Whatever happened: leave nothing running."""
        self.interrupts = None
        for run_id in dict.fromkeys(self._open):
            view = self.services.supervisor.view(run_id)
            if view.alive:
                self.stop(view)


def _train(stage: _Stage, plan: DemoPlan) -> RunView:
    stage.say("training", data=Path(plan.spec.data).name)
    teller = _TrainTeller(stage)
    view = stage.services.train.start(plan.spec)
    stage.out.object("demo.training", run_id=view.run_id, path=view.run.path)
    view = stage.follow(view, _is_over, teller)
    if view.status != "completed":
        raise error_of(view)
    stage.say("trained", seconds=teller.seconds)
    return view


class _TrainTeller:
    """A line every few seconds, with the time that is left."""

    def __init__(self, stage: _Stage) -> None:
        self._stage = stage
        self._began = time.monotonic()
        self._due = 0.0
        self._times: list[float] = []

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._began

    def __call__(self, view: RunView) -> None:
        for event in view.new_events:
            self._stage.out.event(event)
            if isinstance(event, EvalDone):
                split = split_text(event.split, self._stage.out.language)
                self._stage.say("eval", split=split, step=event.step, loss=event.loss)
            if isinstance(event, TrainStep):
                self._times.append(event.step_time_s)
        step, plan = view.state.step, view.state.plan
        if step is not None and plan is not None and time.monotonic() >= self._due and self._times:
            self._due = time.monotonic() + _SAY_EVERY_S
            left = plan.total_steps - step.step
            left_s = left * statistics.median(self._times[-_SHOWN_MEDIAN_OF:])
            self._stage.say("step", **step.model_dump(), total=plan.total_steps, left_s=left_s)


def _tell_result(stage: _Stage, plan: DemoPlan, told: Told) -> None:
    language = stage.out.language
    stage.out.line("")
    stage.say("result")
    losses = {
        split: (float(curve.ys[0]), float(curve.ys[-1]))
        for split, curve in told.run.series.eval_loss.items()
        if len(curve) > 1
    }
    for split, (before, after) in losses.items():
        stage.say("loss", split=split_text(split, language), before=before, after=after)
    for question, before_, after_ in zip(plan.questions, told.before, told.after, strict=True):
        stage.say("taught" if question in plan.taught else "held_out", question=question)
        stage.say("before", answer=before_)
        stage.say("after", answer=after_)
    stage.say("small")
    stage.out.object(
        "demo.result",
        run_id=told.run.run_id,
        losses={k: {"before": b, "after": a} for k, (b, a) in losses.items()},
        questions=plan.questions,
        before=told.before,
        after=told.after,
    )


def _take_pictures(stage: _Stage, folder: Path, run_id: str) -> list[Path]:
    """Pictures of the real pages, by a process of its own: Qt stays out of this one."""
    home = stage.services.home
    kept = home.settings_file.read_bytes() if home.settings_file.exists() else None
    command = [
        sys.executable, str(PROJECT_ROOT / "packaging" / "pictures.py"), "--out", str(folder),
        "--home", str(home.root), "--run", run_id, "--page", *_PAGES,
    ]  # fmt: skip
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=_PICTURES_TIMEOUT_S,
            check=False,
        )
        tail = done.stderr.strip().splitlines()[-5:] if done.returncode else []
    except (OSError, subprocess.TimeoutExpired) as e:
        tail = [str(e)]
    finally:  # the pictures went through languages and schemes: those are the user's to choose
        if kept is not None:
            home.settings_file.write_bytes(kept)
        else:
            home.settings_file.unlink(missing_ok=True)
    if tail:
        stage.say("no_pictures", tail="\n      ".join(tail))
    return sorted(folder.glob("*.png"))


def _is_ready(view: RunView) -> bool:
    return view.state.ready is not None and not view.finished


def _is_over(view: RunView) -> bool:
    return view.finished and not view.alive


def _ignore(_view: RunView) -> None:
    return
