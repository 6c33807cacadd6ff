"""Base model and adapters answer side by side, and a change of adapters changes nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from core.errors import AppError
from tests.tiny_models import build_tiny
from tests.unit.native_core_helpers import desk, ragged_prompts
from tests.unit.serve_engine_helpers import expected_greedy, greedy
from workers.serve.engines.base import AdapterChange

PROMPTS = ragged_prompts(4)
COUNTS = [15] * 4


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny(tmp_path_factory.mktemp("llama"), "llama")


def make_adapter(model: Path, folder: Path, seed: int) -> Path:
    base = AutoModelForCausalLM.from_pretrained(model)
    wanted = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    tuned = get_peft_model(base, wanted)
    torch.manual_seed(seed)
    for name, parameter in tuned.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    tuned.save_pretrained(folder)
    return folder


def test_base_and_adapters_share_passes_and_never_the_cache(llama: Path, tmp_path: Path) -> None:
    folders = [make_adapter(llama, tmp_path / name, i) for i, name in enumerate(("one", "two"))]
    expected = {None: expected_greedy(llama, PROMPTS, COUNTS)}
    for folder in folders:
        expected[folder.name] = expected_greedy(llama, PROMPTS, COUNTS, folder)
    assert len({str(tokens) for tokens in expected.values()}) == 3
    with desk(llama, adapter=str(folders[0]), adapters=(str(folders[1]),)) as one:
        assert set(one.core._facts().adapters) == set(expected)
        for _ in range(2):  # the second time with all beginnings known
            numbers = {
                name: [one.ask(prompt, greedy(15), name) for prompt in PROMPTS] for name in expected
            }
            one.run()
            assert {n: one.answers(asked) for n, asked in numbers.items()} == expected
        assert one.core.stats().prefix_hit_tokens > 0


def test_an_adapter_is_replaced_while_others_write_and_its_old_cache_is_not_asked(
    llama: Path, tmp_path: Path
) -> None:
    old, new = (make_adapter(llama, tmp_path / name, i) for i, name in enumerate(("old", "new")))
    base = expected_greedy(llama, PROMPTS, [40] * 4)
    before = expected_greedy(llama, PROMPTS, COUNTS, old)
    after = expected_greedy(llama, PROMPTS, COUNTS, new)
    with desk(llama, adapter=str(old)) as one:
        writing = [one.ask(prompt, greedy(40)) for prompt in PROMPTS]
        leaving = [one.ask(prompt, greedy(15), "old") for prompt in PROMPTS]
        one.step()
        facts = one.core.change_adapters(AdapterChange((("old", str(new)),), ("old",)))
        assert facts.adapters == (None, "old")
        swapped = [one.ask(prompt, greedy(15), "old") for prompt in PROMPTS]
        assert one.answers(swapped) == after
        assert one.answers(leaving) == before
        assert one.answers(writing) == base
        assert one.core.change_adapters(AdapterChange(unload=("old",))).adapters == (None,)
        gone = one.ask(PROMPTS[0], greedy(3), "old")
        one.run()
        assert one.errors[gone]


def test_an_adapter_that_does_not_load_changes_nothing(llama: Path, tmp_path: Path) -> None:
    good = make_adapter(llama, tmp_path / "good", 3)
    with desk(llama) as one:
        with pytest.raises(AppError):
            one.core.change_adapters(
                AdapterChange((("good", str(good)), ("bad", str(tmp_path / "nowhere"))))
            )
        assert one.core._facts().adapters == (None,)


def test_a_merged_adapter_is_all_there_is(llama: Path, tmp_path: Path) -> None:
    folder = make_adapter(llama, tmp_path / "tuned", 5)
    expected = expected_greedy(llama, PROMPTS, COUNTS, folder)
    with desk(llama, adapter=str(folder), merge_adapter=True) as one:
        assert one.core._facts().adapters == ("tuned",)
        assert one.answers([one.ask(p, greedy(15), "tuned") for p in PROMPTS]) == expected
        with pytest.raises(AppError):
            one.core.change_adapters(AdapterChange((("more", str(folder)),)))
