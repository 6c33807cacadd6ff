"""The HTML report: whole, self-contained, honest about spikes, and safe with a model's words."""

import math
import re
from html.parser import HTMLParser

import pytest

from core.config.train import TrainSpec
from core.errors import ErrorInfo
from core.metrics import RunSeries, Series
from core.paths import Home
from core.protocol import events as e
from core.report import render_report
from core.report.svg import Chart, render_chart
from core.runlog.run_dir import RunDir
from core.runlog.state import RunState, fold
from core.services.documents import run_document
from core.services.report import write_report
from core.supervisor import RunView


def told(*said):
    """Events with the envelope that a writer would give them."""
    return [
        event.model_copy(update={"seq": i, "time_utc": 1e9 + i, "monotonic_s": float(i)})
        for i, event in enumerate(said, start=1)
    ]


def steps(count, loss=lambda i: 3.0 / i):
    return [
        e.TrainStep(step=i, loss=loss(i), grad_norm=1.0, learning_rate=1e-4, peak_memory_gib=1.0)
        for i in range(1, count + 1)
    ]


@pytest.fixture
def view_of(tmp_path):
    def make(*said, **changes):
        spec = TrainSpec(model="/models/starter", data="/data/sample", name="law <b>qa</b>")
        document = run_document("train", spec, name=spec.name)
        run = RunDir.create(Home(tmp_path).runs, "run-1", document)
        series = RunSeries()
        series.apply(told(*said))
        facts = {
            "run": run,
            "document": document,
            "state": fold(RunState(), told(*said)),
            "verdict": None,
            "alive": False,
            "heartbeat_age_s": None,
            "stopping": None,
            "caught_up": True,
            "series": series,
        }
        return RunView(**{**facts, **changes})

    return make


WHOLE = (
    e.RunStarted(job="train"),
    e.TrainPlanned(total_steps=20, trainable_parameters=1000, total_parameters=50_000),
    e.EvalDone(step=0, split="accuracy", loss=4.0),
    e.SampleGenerated(step=0, prompt="你好？", answer="gibberish"),
    *steps(20),
    e.AlarmRaised(alarm="loss_spike", step=7, value=9.0, threshold=3.0),
    e.EvalDone(step=20, split="accuracy", loss=3.0),
    e.SampleGenerated(step=20, prompt="你好？", answer="<script>alert(1)</script>"),
    e.RunFinished(outcome="completed"),
)


class Balance(HTMLParser):
    """Raises when a tag is closed that is not open."""

    VOID = ("meta", "input", "br")

    def __init__(self):
        super().__init__()
        self.open = []
        self.tags = set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_loads_nothing_from_elsewhere(view_of):
    page = render_report(view_of(*WHOLE))
    parser = Balance()
    parser.feed(page)
    assert parser.open == []
    assert not parser.tags & {"script", "link", "img", "iframe"}
    assert not re.search(r"https?://|url\(|@import", page)


def test_words_of_models_and_people_are_escaped(view_of):
    page = render_report(view_of(*WHOLE))
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "law &lt;b&gt;qa&lt;/b&gt;" in page


def test_evaluation_before_and_after_is_compared(view_of):
    page = render_report(view_of(*WHOLE))
    assert "-25.0%" in page
    assert 'class="n better"' in page


def test_every_word_is_there_in_both_languages_and_the_chosen_one_is_shown_first(view_of):
    page = render_report(view_of(*WHOLE), "zh")
    assert page.count('class="en"') == page.count('class="zh"') > 20
    assert 'id="show-zh" checked' in page
    assert "你好？" in page


def test_a_spike_of_one_step_in_a_hundred_thousand_is_drawn():
    series = Series()
    series.extend(range(1, 100_001), [1.0] * 60_000 + [50.0] + [1.0] * 39_999)
    drawn = render_chart(Chart("loss", "loss", series))
    heights = [float(p.split(",")[1]) for p in re.findall(r"[\d.]+,[\d.]+", drawn)]
    assert min(heights) < 40 < 150 < max(heights)
    assert len(heights) < 3000


def test_a_diverged_loss_is_marked_and_not_dropped_silently(view_of):
    said = steps(10, loss=lambda i: math.nan if i == 5 else 1.0)
    page = render_report(view_of(e.RunStarted(job="train"), *said))
    assert "<title>5</title>" in page


def test_a_constant_curve_and_a_single_point_can_be_drawn():
    for values in ([0.0], [2.0] * 50):
        series = Series()
        series.extend(range(1, len(values) + 1), values)
        assert render_chart(Chart("loss", "loss", series)).startswith("<svg")
        assert "nan" not in render_chart(Chart("loss", "loss", series))


def test_zeros_are_left_out_of_a_logarithmic_chart():
    series = Series()
    series.extend([1, 2, 3], [0.0, 1.0, 100.0])
    assert render_chart(Chart("grad_norm", "g", series, log=True)).startswith("<svg")


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [(4.5, 7.0, "5"), (0.3, 20.0, "10"), (1e-4, 1e6, "10")],
)
def test_logarithmic_ticks_are_round_numbers(low, high, shown):
    series = Series()
    series.extend([1, 2], [low, high])
    drawn = render_chart(Chart("grad_norm", "g", series, log=True))
    labels = re.findall(r'class="end">([^<]+)<', drawn)
    assert shown in labels
    assert 2 <= len(labels) <= 7
    assert all(float(label).as_integer_ratio() and len(label) <= 6 for label in labels)


def test_the_libraries_that_the_worker_ran_with_are_named(view_of):
    page = render_report(view_of(e.RunStarted(job="train", versions={"torch": "2.13.0+cpu"})))
    assert "2.13.0+cpu" in page


def test_a_failed_run_says_its_error(view_of):
    error = ErrorInfo(code="disk.full", params={"path": "/x"}, detail="ENOSPC")
    page = render_report(
        view_of(e.RunStarted(job="train"), e.RunFinished(outcome="failed", error=error))
    )
    assert "disk.full" in page
    assert "/x" in page


def test_a_run_that_said_nothing_yet_has_a_report_too(view_of):
    assert "</html>" in render_report(view_of())


def test_the_report_is_written_whole(view_of):
    view = view_of(*WHOLE)
    path = write_report(view, view.run.report)
    assert path.read_text(encoding="utf-8").endswith("</html>\n")
