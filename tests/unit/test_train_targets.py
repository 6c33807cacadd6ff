"""Modules that get an adapter: named before the start, by the service as by the worker."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.catalog.inspection import inspect_model
from core.catalog.linear_modules import linear_modules
from core.config.targets import resolve_names
from core.errors import ErrorCode, UsageError
from core.paths import Home
from core.services import build
from tests.tiny_models import ARCHITECTURES, build_tiny
from tests.train_runs import write_data

MLA = {
    "deepseek_v2": {"q_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj"},
    "deepseek_v3": {"q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj"},
}
LLAMA = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {arch: build_tiny(root / arch, arch) for arch in ARCHITECTURES}


def by_service(folder: Path, *names: str) -> dict[str, int] | UsageError:
    found = linear_modules(inspect_model(folder))
    assert found is not None
    try:
        return resolve_names(found.paths, names, fused_experts=found.routed_experts).counts
    except UsageError as e:
        return e


def by_worker(folder: Path, *names: str) -> dict[str, int] | UsageError:
    from transformers import AutoModelForCausalLM

    from workers.train.targets import find_targets

    model = AutoModelForCausalLM.from_pretrained(folder)
    try:
        return find_targets(model, names).counts
    except UsageError as e:
        return e


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_all_linear_is_the_attention_of_mla_and_everything_of_a_dense_model(
    folders: dict[str, Path], arch: str
) -> None:
    found = by_service(folders[arch], "all-linear")
    assert isinstance(found, dict)
    assert set(found) == MLA.get(arch, LLAMA)
    assert set(found.values()) == {2}


@pytest.mark.parametrize(
    "names",
    [
        ("all-linear",), ("q_proj",), ("v_proj",), ("q_proj", "v_proj"), ("o_proj",),
        ("gate_proj", "up_proj"), ("down_proj",), ("gate",), ("lm_head",), ("embed_tokens",),
        ("kv_b_proj",), ("self_attn.o_proj",), ("mlp.o_proj",), ("experts",), ("nonsense",),
    ],
)  # fmt: skip
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_service_and_worker_give_the_same_answer(
    folders: dict[str, Path], arch: str, names: tuple[str, ...]
) -> None:
    asked, loaded = by_service(folders[arch], *names), by_worker(folders[arch], *names)
    if isinstance(asked, UsageError) or isinstance(loaded, UsageError):
        assert isinstance(asked, UsageError)
        assert isinstance(loaded, UsageError)
        assert asked.params == loaded.params
        return
    assert asked == loaded


@pytest.mark.parametrize("arch", ["deepseek_v2", "deepseek_v3"])
def test_the_usual_names_are_refused_on_mla_with_those_that_there_are(
    folders: dict[str, Path], arch: str
) -> None:
    """V2-Lite has a `q_proj` but no `v_proj`: half an adapter is refused as well."""
    found = by_service(folders[arch], "q_proj", "v_proj")
    assert isinstance(found, UsageError)
    assert found.code is ErrorCode.TRAIN_TARGETS_UNKNOWN
    assert "v_proj" in str(found.params["names"])
    assert set(str(found.params["available"]).split(", ")) == MLA[arch]


@pytest.mark.parametrize("name", ["gate", "router", "mlp.gate", "shared_expert_gate", "wq_b"])
def test_what_chooses_experts_or_tokens_is_never_adapted(name: str) -> None:
    layer = "model.layers.1."
    chosen = ("mlp.gate", "router", "mlp.shared_expert_gate", "self_attn.indexer.wq_b")
    paths = [layer + end for end in (*chosen, "self_attn.q_proj")]
    assert set(resolve_names(paths, ["all-linear"], fused_experts=False).names) == {"q_proj"}
    with pytest.raises(UsageError):
        resolve_names(paths, [name], fused_experts=False)


def test_the_layer_that_predicts_two_tokens_ahead_is_not_counted(tmp_path: Path) -> None:
    """DeepSeek-V3's files have a layer behind the last, which transformers does not load."""
    from safetensors.torch import load_file, save_file

    folder = build_tiny(tmp_path / "v3", "deepseek_v3")
    tensors = load_file(folder / "model.safetensors")
    extra = {
        name.replace(".layers.1.", ".layers.2."): tensor.clone()
        for name, tensor in tensors.items()
        if ".layers.1." in name
    }
    save_file(tensors | extra, folder / "model.safetensors", {"format": "pt"})
    found = by_service(folder, "o_proj")
    assert found == {"o_proj": 2}


def test_the_plan_says_what_will_be_adapted(
    folders: dict[str, Path], home: Home, tmp_path: Path
) -> None:
    from core.config.train import LoraSpec, TrainSpec

    data = write_data(tmp_path / "d.jsonl")
    train = build(home).train

    def plan(arch: str, *names: str) -> tuple[str, ...]:
        spec = TrainSpec(
            model=str(folders[arch]), data=str(data), lora=LoraSpec(target_modules=names)
        )
        return train.prepare(spec).target_modules

    assert plan("llama", "q_proj", "v_proj") == ("q_proj ×2", "v_proj ×2")
    with pytest.raises(UsageError) as caught:
        plan("deepseek_v3", "gate_proj")
    assert caught.value.code is ErrorCode.TRAIN_TARGETS_UNKNOWN
    full = TrainSpec(model=str(folders["llama"]), data=str(data), method="full")
    assert train.prepare(full).target_modules == ()


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"optim": "paged_adamw_8bit", "device": "cpu"}, "combination.paged_on_cpu"),
        ({"optim": "adamw_8bit", "optimizer_offload": True}, "combination.offload_optimizer_kind"),
    ],
)
def test_what_does_not_go_together_is_refused_with_reason_and_way_out(
    folders: dict[str, Path], home: Home, tmp_path: Path, values: dict[str, object], reason: str
) -> None:
    from app.messages import error_text
    from core.config.train import TrainSpec
    from core.services.train import SpecProblems

    data = write_data(tmp_path / "d.jsonl")
    spec = TrainSpec.parse({"model": str(folders["llama"]), "data": str(data), **values})
    with pytest.raises(SpecProblems) as caught:
        build(home).train.prepare(spec)
    (problem,) = [p for p in caught.value.problems if p.code == "train.combination"]
    assert problem.params["reason"] == reason
    for language in ("en", "zh"):
        found = error_text(problem, language)
        assert "combination." not in found.message
        assert "adamw_torch" in found.hint
