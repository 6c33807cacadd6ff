"""A real worker process with scripted behavior: `python -m tests.fakes.fake_worker <run folder>`.

It is the real harness around a recipe that the spec in `run.json` steers:

    steps            how many steps to say (default 3)
    rate             steps a second (default: as fast as it goes)
    fail_on_import   die before the harness (as a broken library would)
    fail             raise in the recipe: "app" (an AppError), "os", "memory", "bug"
    exit_code        leave without a last word after the steps
    kill_self        send itself this signal after the steps
    ignore_terminate ignore SIGTERM
    deaf             never look whether it shall stop
    hang             after the steps, wait for a stop (deaf: forever)
    linger           a thread that keeps the process alive after its last word
    torn_tail        leave half a line at the end and die
    child            start a child process that sleeps, and write its pid to `child.pid`
    log              a line for output.log
    nan_at           the step whose loss is NaN
    checkpoint_every make a checkpoint folder and announce it every so many steps
    last_word_wait_s how long to wait for room for the last word
    flood_bytes      say samples of this size as well, one a step
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from core.errors import AppError, ErrorCode
from core.protocol.events import (
    CheckpointSaved,
    EvalDone,
    SampleGenerated,
    ServeReady,
    TrainPlanned,
    TrainStep,
)
from core.runlog.run_dir import RunDir
from workers.harness import WorkerContext, entry, run_worker


def loss_at(step: int) -> float:
    return 4.0 / (1 + step / 100)


def recipe(context: WorkerContext) -> dict:
    spec = context.spec
    print(spec.get("log", "a word for people"), flush=True)
    if spec.get("ignore_terminate"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if spec.get("child"):
        start_child(context.run)
    first = (context.resumed_from_step or 0) + 1
    wanted = spec.get("steps") or spec.get("max_steps")
    steps = 3 if wanted is None else int(wanted)
    context.reporter.emit(TrainPlanned(total_steps=steps, warmup_steps=1))
    if spec.get("ready_url"):
        context.reporter.emit(ServeReady(url=spec["ready_url"], model_id="fake"))
    done = first - 1
    for step in range(first, steps + 1):
        if stop_wanted(context):
            break
        say_step(context, step)
        done = step
    if stop_wanted(context) and context.stop.save and spec.get("checkpoint_every"):
        save(context, done)
    misbehave(context)
    return {"last_step": done, "adapter": "adapter"}


def stop_wanted(context: WorkerContext) -> bool:
    return not context.spec.get("deaf") and context.stop_requested


def say_step(context: WorkerContext, step: int) -> None:
    spec = context.spec
    loss = float("nan") if step == spec.get("nan_at") else loss_at(step)
    context.reporter.emit(TrainStep(step=step, loss=loss, grad_norm=1.0, learning_rate=3e-5))
    if size := spec.get("flood_bytes"):
        context.reporter.emit(SampleGenerated(step=step, answer="x" * size))
    if step % 50 == 0:
        context.reporter.emit(EvalDone(step=step, split="eval", loss=loss))
    every = spec.get("checkpoint_every")
    if every and step % every == 0:
        save(context, step)
    if rate := spec.get("rate"):
        time.sleep(1 / rate)


def save(context: WorkerContext, step: int) -> None:
    folder = context.run.checkpoints / f"step-{step:06d}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "state").write_text("whole")
    context.reporter.emit(CheckpointSaved(step=step, path=f"checkpoints/{folder.name}"))


def misbehave(context: WorkerContext) -> None:
    spec = context.spec
    if kind := spec.get("fail"):
        fail(kind)
    if spec.get("hang"):
        while not stop_wanted(context):
            time.sleep(0.02)
    if spec.get("linger"):
        threading.Thread(target=time.sleep, args=(600,)).start()
    if spec.get("torn_tail"):
        with context.run.events.open("ab") as f:
            f.write(b'{"v":1,"seq":99999,"kind":"train.st')
        os._exit(9)
    if (code := spec.get("exit_code")) is not None:
        os._exit(code)
    if number := spec.get("kill_self"):
        os.kill(os.getpid(), number)


def fail(kind: str) -> None:
    if kind == "app":
        raise AppError(ErrorCode.DATA_EMPTY, path="/data", detail="no rows")
    if kind == "os":
        raise OSError(28, "No space left on device", "/somewhere")
    if kind == "memory":
        raise MemoryError("cannot allocate")
    raise ValueError("a bug")


def start_child(run: RunDir) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    (run.path / "child.pid").write_text(str(child.pid))


def find_resume_step(run: RunDir) -> int | None:
    newest = run.newest_checkpoint()
    return int(re.sub(r"\D", "", newest.name)) if newest else None


if __name__ == "__main__":
    here = RunDir(Path(sys.argv[1]))
    if here.document()["spec"].get("fail_on_import"):
        raise ImportError("libfake.so.1: cannot open shared object file")
    entry.LAST_WORD_WAIT_S = here.document()["spec"].get("last_word_wait_s", 30.0)
    sys.exit(run_worker(here.document()["job"], recipe, find_resume_step=find_resume_step))
