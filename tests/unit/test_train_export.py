"""Exports: what is written loads by itself as the model that was trained, or is not left there."""

from __future__ import annotations

import importlib.util
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.config.export import ExportSpec
from core.errors import ErrorCode, UsageError
from core.paths import Home
from core.protocol.events import ArtifactSaved, PhaseChanged
from core.runlog.run_dir import RunDir, new_run_id
from core.services import build
from core.services.documents import run_document
from tests.fakes.runs import events_of
from tests.tiny_models import build_tiny
from tests.train_runs import last_word, make_run, of, run_here, tiny_model, write_data

needs_bitsandbytes = pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed"
)
LORA = {"r": 4, "target_modules": ["all-linear"]}
IDS = torch.arange(3, 40)[None]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., RunDir]:
    """Makes a run once for each set of options, on a bf16 model."""
    root = tmp_path_factory.mktemp("trained")
    data = write_data(root / "data.jsonl")
    made: dict[str, RunDir] = {}

    def make(arch: str = "llama", **values: Any) -> RunDir:
        key = json.dumps([arch, values], sort_keys=True)
        if key not in made:
            model = tiny_model(root / arch, arch, dtype="bfloat16")
            options = {"lora": LORA, "learning_rate": 5e-2, "dry_run": False, **values}
            made[key] = make_run(root / "runs", model, data, **options)
            assert last_word(run_here(made[key])).outcome == "completed"
        return made[key]

    return make


def export_here(home: Home, run: RunDir | Path, **values: Any) -> tuple[RunDir, list[Any]]:
    """The export's whole life in this process, from the service's checks on."""
    from workers.export.recipe import export
    from workers.harness import run_worker

    source, known = str(run), {}
    if isinstance(run, RunDir):
        source = str(run.adapter if run.adapter.is_dir() else run.model)
        spec = run.document()["spec"]
        bits = "nf4" if spec["load_in_4bit"] else "int8" if spec["load_in_8bit"] else "none"
        known = {"model": spec["model"], "data": spec["data"], "quantization": bits}
    spec = build(home).export.prepare(
        ExportSpec.parse({"source": source, "device": "cpu", **known, **values})
    )
    made = RunDir.create(home.runs, new_run_id("export", "t"), run_document("export", spec))
    before = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        run_worker("export", export, argv=[str(made.path)])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return made, events_of(made)


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(IDS).logits.float()


@pytest.mark.parametrize("arch", ["llama", "qwen2", "deepseek_v2", "deepseek_v3"])
def test_a_merged_model_is_the_trained_one_and_loads_by_itself(
    trained: Callable[..., RunDir], home: Home, arch: str
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    run = trained(arch)
    made, events = export_here(home, run)
    result = last_word(events).result
    assert last_word(events).outcome == "completed", last_word(events).error
    folder = Path(result["path"])
    assert folder == made.model
    merged = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    assert merged.dtype == torch.bfloat16
    base = AutoModelForCausalLM.from_pretrained(
        run.document()["spec"]["model"], dtype=torch.float32
    )
    plain = logits(base)
    tuned = logits(PeftModel.from_pretrained(base, run.adapter))
    # On average: rounding to bf16 may send a single token to another expert.
    assert (logits(merged.float()) - tuned).abs().mean() < 0.1 * (tuned - plain).abs().mean()
    assert AutoTokenizer.from_pretrained(folder).chat_template
    assert (folder / "generation_config.json").is_file()
    assert 0 <= result["kl_original"] < 0.01
    assert result["top1_original"] > 0.9
    assert result["kl_dequantized"] is None
    assert result["tokens"] > 100
    (artifact,) = of(ArtifactSaved, events)
    assert (artifact.artifact, artifact.path) == ("model", "model")
    phases = list(dict.fromkeys(e.phase for e in of(PhaseChanged, events)))
    assert phases == ["starting", "loading_model", "comparing", "merging", "saving", "verifying"]


@needs_bitsandbytes
@pytest.mark.parametrize("into", ["original", "dequantized"])
def test_an_adapter_of_a_4_bit_model_is_merged_into_either_base_and_both_are_measured(
    trained: Callable[..., RunDir], home: Home, into: str
) -> None:
    run = trained(load_in_4bit=True)
    made, events = export_here(home, run, merge_into=into, dtype="fp32")
    result = last_word(events).result
    assert last_word(events).outcome == "completed", last_word(events).error
    # The adapter has seen the 4-bit weights: on those that they stand for it fits exactly.
    assert result["kl_dequantized"] < 1e-6 < result["kl_original"]
    assert result["merge_into"] == into
    weights = load_file(made.model / "model.safetensors")
    assert {t.dtype for t in weights.values()} == {torch.float32}
    assert not [name for name in weights if "absmax" in name or "quant" in name]
    assert "quantization_config" not in json.loads((made.model / "config.json").read_text())
    original = load_file(Path(run.document()["spec"]["model"]) / "model.safetensors")
    name = "model.layers.0.input_layernorm.weight"
    assert torch.equal(weights[name], original[name].float())


@needs_bitsandbytes
def test_an_adapter_of_an_8_bit_model_is_merged_into_either_base_too(
    trained: Callable[..., RunDir], home: Home
) -> None:
    run = trained(load_in_8bit=True)
    _, events = export_here(home, run, merge_into="dequantized", dtype="fp32")
    assert last_word(events).outcome == "completed", last_word(events).error
    result = last_word(events).result
    # Its products round activations to 8 bits as well, which no merged model does.
    assert result["kl_dequantized"] < 0.01
    assert result["kl_original"] < 0.01


def test_dora_and_rslora_are_merged_as_they_were_trained(
    trained: Callable[..., RunDir], home: Home
) -> None:
    run = trained(lora={**LORA, "use_dora": True, "use_rslora": True})
    _, events = export_here(home, run, dtype="fp32")
    assert last_word(events).outcome == "completed", last_word(events).error
    assert last_word(events).result["kl_original"] < 1e-6


def test_a_merge_that_would_change_nothing_is_an_error_and_leaves_nothing(
    trained: Callable[..., RunDir], home: Home, tmp_path: Path
) -> None:
    run = trained()
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    tensors = load_file(run.adapter / "adapter_model.safetensors")
    for name in tensors:
        if "layers.1" in name and "lora_B" in name:
            tensors[name].zero_()
    save_file(tensors, adapter / "adapter_model.safetensors")
    config = (run.adapter / "adapter_config.json").read_text()
    (adapter / "adapter_config.json").write_text(config)
    made, events = export_here(home, adapter)
    error = last_word(events).error
    assert error is not None
    assert error.code == ErrorCode.EXPORT_NO_CHANGE
    assert error.params["count"] == 7
    assert "layers.1" in str(error.params["modules"])
    assert not made.model.exists()


def test_too_little_for_16_bits_is_seen_and_fits_into_32(
    trained: Callable[..., RunDir], home: Home, tmp_path: Path
) -> None:
    """One sum in fp32: a change below half a bf16 step rounds away, and that is said."""
    run = trained()
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    tensors = load_file(run.adapter / "adapter_model.safetensors")
    small = {n: t * 1e-7 if "lora_B" in n else t for n, t in tensors.items()}
    save_file(small, adapter / "adapter_model.safetensors")
    config = (run.adapter / "adapter_config.json").read_text()
    (adapter / "adapter_config.json").write_text(config)
    error = last_word(export_here(home, adapter)[1]).error
    assert error is not None
    assert error.code == ErrorCode.EXPORT_NO_CHANGE
    _, events = export_here(home, adapter, dtype="fp32")
    assert last_word(events).outcome == "completed", last_word(events).error


def test_an_adapter_is_exported_whole_with_tokenizer_and_without_paths_of_this_machine(
    trained: Callable[..., RunDir], home: Home, tmp_path: Path
) -> None:
    run = trained()
    _, events = export_here(home, run, kind="adapter", to=str(tmp_path / "out"))
    result = last_word(events).result
    assert (result["path"], result["kind"]) == (str(tmp_path / "out"), "adapter")
    names = {p.name for p in (tmp_path / "out").iterdir()}
    assert {"adapter_model.safetensors", "adapter_config.json", "tokenizer.json"} <= names
    for name in names:
        assert str(run.path.parent).encode() not in (tmp_path / "out" / name).read_bytes(), name
    own, copy = (
        (place / "adapter_model.safetensors").read_bytes()
        for place in (run.adapter, tmp_path / "out")
    )
    assert own == copy


def test_a_fully_trained_model_is_exported_in_the_wanted_precision(
    trained: Callable[..., RunDir], home: Home
) -> None:
    run = trained(method="full", learning_rate=1e-3)
    made, events = export_here(home, run, dtype="fp16")
    assert last_word(events).outcome == "completed", last_word(events).error
    weights = load_file(made.model / "model.safetensors")
    assert {t.dtype for t in weights.values()} == {torch.float16}
    assert last_word(events).result["kl_original"] is None


def test_an_adapter_of_another_model_is_refused(
    trained: Callable[..., RunDir], home: Home, tmp_path: Path
) -> None:
    other = build_tiny(tmp_path / "other", hidden_size=64)
    made, events = export_here(home, trained().adapter, model=str(other))
    error = last_word(events).error
    assert error is not None
    assert error.code == ErrorCode.ADAPTER_MISMATCH
    assert not made.model.exists()


def test_a_damaged_copy_is_not_left_behind(
    trained: Callable[..., RunDir], home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workers.train import model_files

    real = model_files.save_model

    def flipped(model: Any, tokenizer: Any, folder: Path, dtype: torch.dtype) -> None:
        with torch.no_grad():
            model.model.layers[0].mlp.down_proj.weight.mul_(-1)
        real(model, tokenizer, folder, dtype)

    monkeypatch.setattr(model_files, "save_model", flipped)
    made, events = export_here(home, trained())
    error = last_word(events).error
    assert error is not None
    assert error.code == ErrorCode.EXPORT_NOT_VERIFIED
    assert not made.model.exists()
    assert not list(made.path.glob(".model*"))


def test_a_full_disk_is_seen_before_anything_is_written(
    trained: Callable[..., RunDir], home: Home, small_disk: Callable[[str], Path]
) -> None:
    place = small_disk("64k")
    _, events = export_here(home, trained(), to=str(place / "out"))
    error = last_word(events).error
    assert error is not None
    assert error.code == ErrorCode.DISK_FULL
    assert list(place.iterdir()) == []


def test_a_disk_that_fills_up_while_weights_are_written_is_named_and_left_clean(
    trained: Callable[..., RunDir],
    home: Home,
    small_disk: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A real full disk, met after the look for room found enough."""
    from workers.export import exporter

    monkeypatch.setattr(exporter, "need_room", lambda *_: None)
    place = small_disk("64k")
    _, events = export_here(home, trained(), to=str(place / "out"))
    error = last_word(events).error
    assert error is not None
    assert error.code == ErrorCode.DISK_FULL
    assert list(place.iterdir()) == []


def test_the_service_fills_in_what_the_run_knows(
    trained: Callable[..., RunDir], home: Home, tmp_path: Path
) -> None:
    run = trained(load_in_4bit=True) if importlib.util.find_spec("bitsandbytes") else trained()
    home.runs.mkdir(parents=True)
    (home.runs / run.run_id).symlink_to(run.path)
    service = build(home).export
    ready = service.prepare(ExportSpec(source=run.run_id))
    spec = run.document()["spec"]
    assert Path(ready.source).resolve() == run.adapter.resolve()
    assert (ready.model, ready.data) == (spec["model"], spec["data"])
    assert ready.quantization == ("nf4" if spec["load_in_4bit"] else "none")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    for wrong, code in (
        ({"source": "no-such-run"}, ErrorCode.ADAPTER_NOT_FOUND),
        ({"source": run.run_id, "to": str(tmp_path / "full")}, ErrorCode.EXPORT_EXISTS),
        (
            {"source": str(trained().adapter), "merge_into": "dequantized"},
            ErrorCode.BAD_VALUE,
        ),
    ):
        with pytest.raises(UsageError) as caught:
            service.prepare(ExportSpec.parse(wrong))
        assert caught.value.code is code
