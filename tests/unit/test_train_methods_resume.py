"""Every way of training learns, saves whole checkpoints, and resumes bit for bit."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from core.errors import ErrorCode
from core.protocol.events import TrainPlanned, TrainStep
from core.runlog.run_dir import RunDir
from tests.tiny_models import build_tiny
from tests.train_runs import last_word, make_run, of, run_here, tiny_model, write_data
from workers.train import checkpoint_files as files

needs_bitsandbytes = pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed"
)
ALL = {"r": 4, "target_modules": ["all-linear"]}
METHODS: dict[str, dict[str, Any]] = {
    "rslora_dora": {"lora": {**ALL, "use_rslora": True, "use_dora": True, "lora_dropout": 0.1}},
    "bf16_dora": {"lora": {**ALL, "dtype": "bf16", "use_dora": True}, "precision": "bf16"},
    "full": {"method": "full", "learning_rate": 1e-3},
    "full_bf16": {"method": "full", "learning_rate": 1e-3, "precision": "bf16"},
    "offload": {"lora": ALL, "optimizer_offload": True},
    "full_checkpointed": {"method": "full", "gradient_checkpointing": "full"},
}
QUANTIZED: dict[str, dict[str, Any]] = {
    "nf4": {"lora": ALL, "load_in_4bit": True},
    "nf4_dora": {"lora": {**ALL, "use_dora": True}, "load_in_4bit": True},
    "int8": {"lora": ALL, "load_in_8bit": True},
    "adam8": {"lora": {**ALL, "r": 64}, "optim": "adamw_8bit"},
    "full_adam8": {"method": "full", "optim": "adamw_8bit", "learning_rate": 1e-3},
}
CASES = [
    *METHODS,
    *(pytest.param(name, marks=needs_bitsandbytes) for name in QUANTIZED),
]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("shared")
    # Wide enough that 8-bit states of 4,096 weights and more are met.
    build_tiny(root / "llama", "llama", hidden_size=64, intermediate_size=128)
    write_data(root / "data.jsonl", 23)
    return root


def run_of(shared: Path, runs: Path, **values: Any) -> RunDir:
    values = {"steps": 4, "save_steps": 1, "save_total_limit": 9, "dry_run": False, **values}
    return make_run(runs, shared / "llama", shared / "data.jsonl", **values)


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.glob("*.safetensors")}


@pytest.mark.parametrize("case", CASES)
def test_it_learns_and_k_steps_then_a_resume_are_the_unbroken_run(
    shared: Path, tmp_path: Path, case: str
) -> None:
    values = (METHODS | QUANTIZED)[case]
    whole = run_of(shared, tmp_path, **values)
    events = run_here(whole)
    assert last_word(events).outcome == "completed", last_word(events).error
    steps = of(TrainStep, events)
    assert steps[-1].loss < steps[0].loss
    assert all(s.grad_norm > 0 for s in steps)
    copy = RunDir(tmp_path / "broken")
    shutil.copytree(whole.path, copy.path)
    for step in (3, 4):
        shutil.rmtree(copy.checkpoints / files.folder_name(step))
    resumed = run_here(copy)
    assert last_word(resumed).outcome == "completed", last_word(resumed).error
    last = files.folder_name(4)
    assert bytes_of(copy.checkpoints / last) == bytes_of(whole.checkpoints / last)
    assert {s.step: s.loss for s in of(TrainStep, resumed)} == {s.step: s.loss for s in steps}


def test_full_fine_tuning_trains_fp32_weights_and_leaves_a_model_in_its_first_dtype(
    tmp_path: Path,
) -> None:
    from transformers import AutoModelForCausalLM

    model = build_tiny(tmp_path / "m", dtype="bfloat16", tie_word_embeddings=True)
    data = write_data(tmp_path / "d.jsonl")
    values = {"method": "full", "precision": "bf16", "learning_rate": 1e-3, "save_steps": 8}
    run = make_run(tmp_path / "runs", model, data, **values)
    events = run_here(run)
    result = last_word(events).result
    assert (result["model"], result["adapter"]) == ("model", None)
    (plan,) = of(TrainPlanned, events)
    assert (plan.method, plan.target_modules) == ("full", [])
    assert plan.trainable_parameters == plan.total_parameters
    saved = load_file(run.checkpoints / "step-000008" / "weights.safetensors")
    assert {t.dtype for t in saved.values()} == {torch.float32}
    assert "lm_head.weight" not in saved  # tied: once
    trained = AutoModelForCausalLM.from_pretrained(run.model, dtype="auto")
    assert trained.dtype == torch.bfloat16
    name = "model.layers.0.mlp.down_proj.weight"
    assert torch.equal(trained.state_dict()[name], saved[name].bfloat16())
    assert {"tokenizer.json", "generation_config.json"} <= {p.name for p in run.model.iterdir()}


@pytest.mark.parametrize("arch", ["deepseek_v2", "deepseek_v3"])
def test_a_fully_trained_mixture_of_experts_is_written_under_its_own_names(
    tmp_path: Path, arch: str
) -> None:
    model, data = tiny_model(tmp_path / arch, arch), write_data(tmp_path / "d.jsonl")
    values = {"method": "full", "learning_rate": 1e-3, "max_steps": 2}
    run = make_run(tmp_path / "runs", model, data, **values)
    assert last_word(run_here(run)).outcome == "completed"
    with safe_open(model / "model.safetensors", "pt") as a:
        before = {k: a.get_tensor(k) for k in a.keys()}  # noqa: SIM118
    after = load_file(run.model / "model.safetensors")
    assert {k: v.shape for k, v in after.items()} == {k: v.shape for k, v in before.items()}
    assert not torch.equal(
        after["model.layers.1.mlp.experts.0.down_proj.weight"],
        before["model.layers.1.mlp.experts.0.down_proj.weight"],
    )


@needs_bitsandbytes
def test_a_checkpoint_of_qlora_holds_no_key_of_the_base(shared: Path, tmp_path: Path) -> None:
    run = run_of(shared, tmp_path, **QUANTIZED["nf4"])
    run_here(run)
    saved = load_file(run.checkpoints / "step-000004" / "adapter_model.safetensors")
    assert saved
    assert all("lora_" in name for name in saved)
    assert not [name for name in saved if "absmax" in name or "quant" in name]


@needs_bitsandbytes
def test_states_in_8_bits_are_saved_as_8_bits_with_their_maps(shared: Path, tmp_path: Path) -> None:
    run = run_of(shared, tmp_path, **QUANTIZED["full_adam8"])
    run_here(run)
    saved = load_file(run.checkpoints / "step-000004" / "optimizer.safetensors")
    name = "model.layers.0.mlp.down_proj.weight"
    assert saved[f"state1/{name}"].dtype == torch.uint8
    assert {f"{what}/{name}" for what in ("qmap1", "qmap2", "absmax1", "absmax2", "step")} <= set(
        saved
    )
    assert saved[f"step/{name}"].item() == 4


def test_a_bf16_adapter_keeps_its_magnitudes_in_fp32(shared: Path, tmp_path: Path) -> None:
    run = run_of(shared, tmp_path, **METHODS["bf16_dora"])
    run_here(run)
    saved = load_file(run.adapter / "adapter_model.safetensors")
    magnitudes = {t.dtype for name, t in saved.items() if "magnitude" in name}
    others = {t.dtype for name, t in saved.items() if "magnitude" not in name}
    assert (magnitudes, others) == ({torch.float32}, {torch.bfloat16})


def test_a_resume_on_another_base_model_is_refused(tmp_path: Path) -> None:
    model, data = tiny_model(tmp_path / "m"), write_data(tmp_path / "d.jsonl")
    run = make_run(tmp_path / "runs", model, data, save_steps=4)
    run_here(run)
    shutil.rmtree(run.checkpoints / "step-000008")
    shutil.rmtree(model)
    build_tiny(model, seed=1)
    error = last_word(run_here(run)).error
    assert error is not None
    assert error.code == ErrorCode.RUN_NOT_RESUMABLE
    assert "the model changed" in error.detail


def test_more_tokens_than_rows_are_refused_with_an_adapter_and_added_when_all_is_trained(
    tmp_path: Path,
) -> None:
    model = build_tiny(tmp_path / "m")
    data = write_data(tmp_path / "d.jsonl")
    tokenizer = json.loads((model / "tokenizer.json").read_text())
    shutil.copytree(model, tmp_path / "short")
    short = build_tiny(tmp_path / "short2", vocab_size=len(tokenizer["model"]["vocab"]) - 9)
    refused = last_word(run_here(make_run(tmp_path / "runs", short, data, steps=1))).error
    assert refused is not None
    assert refused.code == ErrorCode.MODEL_VOCABULARY_TOO_SMALL
    run = make_run(tmp_path / "runs", short, data, steps=1, method="full")
    events = run_here(run)
    assert last_word(events).outcome == "completed", last_word(events).error
    (note,) = of(TrainPlanned, events)[0].notes
    assert note.code == "vocabulary_grew"
    rows = load_file(run.model / "model.safetensors")["model.embed_tokens.weight"].shape[0]
    assert rows == note.params["after"] >= len(tokenizer["model"]["vocab"])


@needs_bitsandbytes
def test_an_evaluation_does_not_touch_the_4_bit_weights(shared: Path) -> None:
    from core.config.train import TrainSpec
    from workers.train import model as loading
    from workers.train.device import Place

    info = loading.inspect(shared / "llama")
    spec = TrainSpec(model="m", data="d", load_in_4bit=True)
    base = loading.load_base(info, loading.load_tokenizer(info), Place("cpu", "fp32"), spec)
    weight = base.model.model.layers[0].mlp.down_proj.weight
    before, scales = weight.clone(), weight.quant_state.absmax.clone()
    with torch.no_grad():
        base.model.eval()(torch.arange(3, 20)[None])
    assert torch.equal(weight, before)
    assert torch.equal(weight.quant_state.absmax, scales)
