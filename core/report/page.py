"""From a run's view to one HTML file."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from html import escape
from typing import Any, Literal

from core.metrics import RunSeries, Series
from core.report.style import CSS
from core.report.svg import Chart, Marks, render_chart
from core.report.texts import both
from core.runlog.state import RunState
from core.supervisor import RunView

_MAX_ROWS = 200


def render_report(view: RunView, language: Literal["en", "zh"] = "en") -> str:
    """The whole page. Text of models and people is escaped; nothing is loaded from elsewhere.

    Args:
        view: of a run of any kind, finished or not.
        language: shown first; the reader can switch without a script.
    """
    title = str(view.document.get("name") or view.run_id)
    parts = [_head(view, title), _figures(view)]
    if view.error is not None:
        parts.append(_error(view))
    parts += [_evaluations(view.series), _samples(view.state), _curves(view.series)]
    if view.state.plan is not None:
        parts.append(_alarms(view.state))
    parts += [_recipe(view), _environment(view)]
    parts.append(f'<p class="muted">{both("made_by")}</p>')
    return _page(title, language, "".join(parts))


def _page(title: str, language: str, body: str) -> str:
    checked = {"en": "", "zh": "", language: " checked"}
    switch = "".join(
        f'<input type="radio" name="language" id="show-{code}"{checked[code]}>'
        f'<label for="show-{code}" lang="{code}">{name}</label> '
        for code, name in (("en", "English"), ("zh", "中文"))
    )
    return (
        f'<!DOCTYPE html><html lang="{"zh-CN" if language == "zh" else "en"}"><head>'
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        # No script, no request: also when the model wrote something that looks like one.
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{escape(title)} · DeepDeck</title><style>{CSS}</style></head>"
        f'<body><div class="page"><div class="switch">{switch}</div>{body}</div></body></html>\n'
    )


def _head(view: RunView, title: str) -> str:
    status = view.status
    return (
        f'<h1>{escape(title)} <span class="chip {status}">{both(status)}</span></h1>'
        f'<div class="muted">{both("report")} · {escape(view.run_id)}</div>'
    )


def _figures(view: RunView) -> str:
    state, facts = view.state, []
    spec = view.document.get("spec", {})
    model = view.document.get("model") or spec.get("model", "")
    facts.append(("model", escape(_short(str(model)))))
    if data := view.document.get("dataset") or spec.get("data"):
        facts.append(("data", escape(_short(str(data)))))
    if state.started_utc:
        stamp = time.strftime("%Y-%m-%d %H:%M", time.localtime(state.started_utc))
        facts.append(("started", stamp))
    if (elapsed := _elapsed_s(view)) is not None:
        facts.append(("duration", _duration(elapsed)))
    if state.step is not None:
        total = f" / {state.plan.total_steps:,}" if state.plan else ""
        facts.append(("steps", f"{state.step.step:,}{total}"))
        facts.append(("final_loss", _number(state.step.loss)))
    if state.stats is not None:
        facts.append(("requests", f"{state.stats.requests_total:,}"))
    cells = "".join(
        f'<div><span class="muted">{both(key)}</span><b>{value}</b></div>' for key, value in facts
    )
    return f'<div class="card figures">{cells}</div>'


def _elapsed_s(view: RunView) -> float | None:
    """Seconds of training without the time between a stop and a resume, else of the whole run."""
    if view.series.elapsed_s.last is not None:
        return float(view.series.elapsed_s.last[1])
    state = view.state
    end = state.finished_utc or state.updated_utc
    return end - state.started_utc if end and state.started_utc else None


def _error(view: RunView) -> str:
    assert view.error is not None
    facts = ", ".join(f"{k}: {v}" for k, v in view.error.params.items())
    return (
        f'<div class="card"><h2 class="failed">{both("error")}: {escape(view.error.code)}</h2>'
        f"<div>{escape(facts)}</div>"
        f'<div class="muted answer">{escape(view.error.detail)}</div></div>'
    )


def _evaluations(series: RunSeries) -> str:
    rows = []
    for split, curve in series.eval_loss.items():
        if len(curve) == 0:
            continue
        before, after = float(curve.ys[0]), float(curve.ys[-1])
        change, css = (after - before) / before, "better" if after < before else "worse"
        cells = f'<td class="n">{_number(before)}</td><td class="n">{_number(after)}</td>'
        shown = f'<td class="n {css}">{change:+.1%}</td>' if len(curve) > 1 else "<td></td>"
        rows.append(f"<tr><td>{both(split)}</td>{cells}{shown}</tr>")
    head = "".join(
        f'<th class="{"" if key == "split" else "n"}">{both(key)}</th>'
        for key in ("split", "before", "after", "change")
    )
    return _card("held_out", f"<table><tr>{head}</tr>{''.join(rows)}</table>") if rows else ""


def _samples(state: RunState) -> str:
    by_prompt: dict[str, list[str]] = {}
    for sample in state.samples[:_MAX_ROWS]:
        by_prompt.setdefault(sample.prompt, []).append(sample.answer)
    rows = "".join(
        f"<tr>{_words(prompt)}{_words(answers[0])}{_words(answers[-1] if answers[1:] else '')}</tr>"
        for prompt, answers in by_prompt.items()
    )
    if not rows:
        return ""
    head = "".join(f"<th>{both(key)}</th>" for key in ("question", "before", "after"))
    note = f'<p class="muted">{both("samples_note")}</p>'
    return _card("samples", f"{note}<table><tr>{head}</tr>{rows}</table>")


def _words(text: str) -> str:
    return f'<td class="answer">{escape(text)}</td>'


def _curves(series: RunSeries) -> str:
    alarms = sorted({step for steps in series.alarms.values() for step in steps})
    marks = Marks(alarms, series.checkpoints, series.resumes)
    charts = (
        Chart("loss", "loss", series.loss, series.eval_loss, marks, smooth=True),
        Chart("grad_norm", "gradient norm", series.grad_norm, smooth=True, log=True),
        Chart("learning_rate", "learning rate", series.learning_rate),
        Chart("memory", "memory", _memory(series)),
    )
    cards = "".join(
        f'<div class="card"><h2>{both(chart.css_class)}</h2>{drawn}</div>'
        for chart in charts
        if (drawn := render_chart(chart))
    )
    legend = f'<p class="muted">{both("legend")}</p>'
    return f'<div class="grid-2">{cards}</div>{legend}' if cards else ""


def _memory(series: RunSeries) -> Series:
    return series.peak_memory_gib if len(series.peak_memory_gib) else series.memory_gib


def _alarms(state: RunState) -> str:
    rows = "".join(
        f'<tr><td class="n">{a.step:,}</td><td>{both(a.alarm)}</td>'
        f'<td class="n">{_number(a.value)}</td><td class="n">{_number(a.threshold)}</td></tr>'
        for a in state.alarms[-_MAX_ROWS:]
    )
    if not rows:
        return _card("alarms", f'<span class="completed">{both("no_alarms")}</span>')
    head = "".join(
        f'<th class="{"" if key == "alarm" else "n"}">{both(key)}</th>'
        for key in ("step", "alarm", "value", "threshold")
    )
    return _card("alarms", f"<table><tr>{head}</tr>{rows}</table>")


def _recipe(view: RunView) -> str:
    plan = view.state.plan
    facts: list[tuple[str, str]] = []
    if plan is not None:
        trained = f"{plan.trainable_parameters:,} {both('of')} {plan.total_parameters:,}"
        facts += [
            (both("trained"), trained),
            (both("train_samples"), f"{plan.train_samples:,}"),
            (both("device"), escape(f"{plan.device}, {plan.dtype}")),
        ]
    spec = dict(view.document.get("spec", {}))
    if spec.get("max_steps"):
        spec.pop(
            "num_train_epochs", None
        )  # the steps decide; the number of epochs was not asked for
    facts += [(escape(k), escape(v)) for k, v in _flat(spec)]
    return _table("recipe", facts)


def _environment(view: RunView) -> str:
    versions = {**view.document.get("versions", {}), **view.state.versions}
    facts = [(escape(str(k)), escape(str(v))) for k, v in sorted(versions.items())]
    facts.append(("seed", escape(str(view.document.get("seed", "")))))
    return _table("environment", facts)


def _flat(values: Any, prefix: str = "") -> Iterable[tuple[str, str]]:
    """Nested settings as dotted names."""
    for key, value in values.items() if isinstance(values, dict) else ():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _flat(value, f"{name}.")
        elif isinstance(value, list | tuple):
            yield name, ", ".join(map(str, value))
        elif value is not None:
            yield name, str(value)


def _table(title: str, facts: Iterable[tuple[str, str]]) -> str:
    rows = "".join(f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in facts)
    return _card(title, f"<table>{rows}</table>")


def _card(title: str, body: str) -> str:
    return f'<div class="card"><h2>{both(title)}</h2>{body}</div>'


def _short(path: str) -> str:
    return path.rstrip("/\\").replace("\\", "/").rpartition("/")[2] or path


def _number(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else str(value)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
