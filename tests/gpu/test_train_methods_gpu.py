"""Methods, optimizers and memory options on an NVIDIA card."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no NVIDIA card"),
]

from core.config.train import TrainSpec  # noqa: E402
from core.protocol.events import TrainStep  # noqa: E402
from tests.tiny_models import build_tiny  # noqa: E402
from tests.train_runs import last_word, make_run, of, run_here, write_data  # noqa: E402

needs_bitsandbytes = pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed"
)
ALL = {"r": 8, "target_modules": ["all-linear"]}
SIZES = {"hidden_size": 256, "intermediate_size": 640, "num_hidden_layers": 4}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("shared")
    build_tiny(root / "llama", "llama", dtype="bfloat16", **SIZES)
    build_tiny(root / "deepseek_v3", "deepseek_v3", dtype="bfloat16")
    write_data(root / "data.jsonl", 40)
    return root


@pytest.fixture(autouse=True)
def clean_card() -> Iterator[None]:
    from accelerate.state import AcceleratorState

    yield
    AcceleratorState._reset_state(reset_partial_state=True)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()


def train(shared: Path, tmp_path: Path, arch: str = "llama", **values: Any) -> list[Any]:
    values = {"device": "cuda", "lora": ALL, "steps": 12, "dry_run": False, **values}
    return run_here(make_run(tmp_path, shared / arch, shared / "data.jsonl", **values))


CASES: dict[str, dict[str, Any]] = {
    "nf4": {"load_in_4bit": True},
    "nf4_dora": {"load_in_4bit": True, "lora": {**ALL, "use_dora": True}},
    "int8": {"load_in_8bit": True},
    "full_bf16": {"method": "full", "learning_rate": 1e-3},
    "full_fp16": {"method": "full", "learning_rate": 1e-3, "precision": "fp16"},
    "full_offload": {"method": "full", "learning_rate": 1e-3, "optimizer_offload": True},
    "adam8": {"optim": "adamw_8bit"},
    "paged8": {"optim": "paged_adamw_8bit", "method": "full", "learning_rate": 1e-3},
    "paged32": {"optim": "paged_adamw_32bit", "method": "full", "learning_rate": 1e-3},
    "offload_full": {"gradient_checkpointing": "full", "activation_offload": True},
    "offload_selective": {"gradient_checkpointing": "selective", "activation_offload": True},
    "bf16_adapter": {"lora": {**ALL, "dtype": "bf16", "use_dora": True}},
}


@needs_bitsandbytes
@pytest.mark.parametrize("case", CASES)
def test_it_learns_on_the_card_and_goes_on_after_a_resume(
    shared: Path, tmp_path: Path, case: str
) -> None:
    values = {"steps": 12, "save_steps": 6, "save_total_limit": 9, **CASES[case]}
    lora = {"lora": ALL, **values}
    run = make_run(
        tmp_path, shared / "llama", shared / "data.jsonl", device="cuda", dry_run=False, **lora
    )
    events = run_here(run)
    assert last_word(events).outcome == "completed", last_word(events).error
    whole = {s.step: s.loss for s in of(TrainStep, events)}
    assert whole[12] < whole[1] - 0.1
    shutil.rmtree(run.checkpoints / "step-000012")
    resumed = of(TrainStep, run_here(run))[-6:]
    assert [s.step for s in resumed] == list(range(7, 13))
    for step in resumed:
        assert step.loss == pytest.approx(whole[step.step], rel=2e-2)


@needs_bitsandbytes
def test_paged_states_are_paged_again_after_a_load() -> None:
    from workers.train.device import Place
    from workers.train.optimizers import make_optimizer
    from workers.train.trained_state import load_optimizer, optimizer_tensors

    spec = TrainSpec(model="m", data="d", optim="paged_adamw_32bit")
    models = [torch.nn.Linear(512, 512).cuda() for _ in range(2)]
    made = [make_optimizer(m, spec, Place("cuda", "bf16")) for m in models]
    models[0](torch.ones(1, 512, device="cuda")).sum().backward()
    made[0].step()
    load_optimizer(models[1], made[1], optimizer_tensors(models[0], made[0]))
    states = [o.state[m.weight]["state1"] for o, m in zip(made, models, strict=True)]
    assert [getattr(s, "is_paged", False) for s in states] == [True, True]
    assert torch.equal(states[0].cpu(), states[1].cpu())


@pytest.mark.parametrize("fused", [False, True])
def test_the_offloaded_update_equals_the_plain_one_bit_for_bit(fused: bool) -> None:
    from workers.train.host_state import HostStateAdamW

    def network() -> Any:
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Linear(256, 512), torch.nn.Linear(512, 256)).cuda()

    plain, offloaded = network(), network()
    options = {"lr": 1e-2, "weight_decay": 0.1, "fused": fused}
    made = [
        torch.optim.AdamW(plain.parameters(), **options),
        HostStateAdamW(offloaded.parameters(), bucket_weights=100_000, **options),
    ]
    for step in range(4):
        x = torch.randn(8, 256, generator=torch.Generator().manual_seed(step)).cuda()
        for model, optimizer in zip((plain, offloaded), made, strict=True):
            model(x).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
    for a, b in zip(plain.parameters(), offloaded.parameters(), strict=True):
        assert torch.equal(a, b)
        state = made[1].state[b]
        assert state["exp_avg"].device.type == "cpu"
        assert state["exp_avg"].is_pinned()
    reloaded = HostStateAdamW(offloaded.parameters(), **options)
    reloaded.load_state_dict(made[1].state_dict())
    state = reloaded.state[offloaded[0].weight]
    assert state["exp_avg"].device.type == "cpu"
    assert torch.equal(state["exp_avg"], made[1].state[offloaded[0].weight]["exp_avg"])


def test_each_measure_takes_less_memory_than_the_one_before(tmp_path: Path) -> None:
    """Peak activation bytes of one pass: nothing, selective, full, full with offloading."""
    from transformers import AutoModelForCausalLM

    from workers.train.activation_offload import ActivationOffload
    from workers.train.memory_options import checkpoint_layers, decoder_of

    folder = build_tiny(
        tmp_path / "m", "llama", dtype="bfloat16", max_position_embeddings=4096,
        hidden_size=512, intermediate_size=1376, num_hidden_layers=8, num_attention_heads=8,
        num_key_value_heads=8,
    )  # fmt: skip
    ids = torch.arange(4096, device="cuda")[None] % 390 + 3
    peaks, losses = [], []
    for mode in ("off", "selective", "full", "offload"):
        model = AutoModelForCausalLM.from_pretrained(folder).cuda().train()
        if mode != "off":
            checkpoint_layers(model, selective=mode == "selective")
        if mode == "offload":
            ActivationOffload().attach(decoder_of(model))
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state
        torch.cuda.synchronize()
        peaks.append(torch.cuda.memory_allocated() - before)
        loss = hidden.float().square().mean()
        loss.backward()
        losses.append((loss.item(), float(model.model.layers[0].mlp.up_proj.weight.grad.norm())))
        del model, hidden, loss
        torch.cuda.empty_cache()
    assert peaks == sorted(peaks, reverse=True)
    assert peaks[3] < 0.6 * peaks[2]
    for value in losses[1:]:
        assert value == pytest.approx(losses[0], rel=1e-3, abs=1e-5)


@needs_bitsandbytes
def test_a_model_in_4_bits_is_merged_on_the_card(shared: Path, tmp_path: Path) -> None:
    from core.config.export import ExportSpec
    from core.runlog.run_dir import RunDir, new_run_id
    from core.services.documents import run_document
    from tests.fakes.runs import events_of
    from workers.export.recipe import export
    from workers.harness import run_worker

    run = make_run(
        tmp_path, shared / "llama", shared / "data.jsonl",
        device="cuda", lora=ALL, load_in_4bit=True, dry_run=False,
    )  # fmt: skip
    assert last_word(run_here(run)).outcome == "completed"
    for base in ("original", "dequantized"):
        spec = ExportSpec(
            source=str(run.adapter),
            model=str(shared / "llama"),
            quantization="nf4",
            merge_into=base,
            dtype="fp32",
            device="cuda",
        )
        made = RunDir.create(tmp_path, new_run_id("export", base), run_document("export", spec))
        run_worker("export", export, argv=[str(made.path)])
        result = last_word(events_of(made)).result
        assert last_word(events_of(made)).outcome == "completed", last_word(events_of(made)).error
        assert result["kl_dequantized"] < 1e-3
        assert result["kl_dequantized"] <= result["kl_original"]
