"""Adapters beside the weights: a token's own, as PEFT computes it, whoever else is in the batch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from core.errors import AppError, ErrorCode
from tests.unit.native_model_helpers import Driver, Row, tiny_model, tokens
from workers.serve.native.adapters import MOST_ADAPTERS, WEIGHTS
from workers.serve.native.fixed_inputs import ReadingTokens, WritingRows

TIGHT = {"rtol": 1e-4, "atol": 2e-5}
EVERY_LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def make_adapter(path: Path, *, arch: str = "llama", seed: int = 1, **changes: Any) -> Path:
    """A PEFT folder whose matrices are all random."""
    peft = pytest.importorskip("peft")
    options = {"r": 4, "lora_alpha": 12, "target_modules": EVERY_LINEAR} | changes
    model = peft.get_peft_model(tiny_model(arch), peft.LoraConfig(task_type="CAUSAL_LM", **options))
    torch.manual_seed(seed)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data.normal_(std=0.2)
    model.save_pretrained(path)
    return path


def expected(folder: Path | None, row: Row, count: int, arch: str = "llama") -> torch.Tensor:
    """PEFT's logits of the last tokens of a row."""
    model = tiny_model(arch)
    if folder is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, folder)
    with torch.no_grad():
        out: torch.Tensor = model(torch.tensor([row.seen])).logits[0, -count:]
    return out


def _rows() -> list[Row]:
    return [Row([5, 3, 9]), Row([20, 21, 22]), Row([2, 40, 41])]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"target_modules": ["q_proj", "v_proj"]},
        {"target_modules": ["down_proj"], "r": 11},
        {"use_rslora": True, "r": 9},
        {"alpha_pattern": {"up_proj": 3}, "rank_pattern": {"q_proj": 7}},
        {"target_modules": ["k_proj", "lm_head"]},
    ],
    ids=lambda changes: "-".join(changes) or "all",
)
def test_an_adapter_read_without_peft_gives_the_logits_of_peft(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    folder = make_adapter(tmp_path / "a", **changes)
    driver, (row, *_) = Driver(tiny_model()), _rows()
    index = driver.runner.adapters.load("a", folder)
    new = [(row, tokens(9))]
    logits = driver.runner.forward(driver.batch(new, adapters=[index]))
    torch.testing.assert_close(logits, expected(folder, row, 9), **TIGHT)


def test_rows_of_one_batch_have_each_their_own_adapter_or_none(tmp_path: Path) -> None:
    first = make_adapter(tmp_path / "a", seed=1)
    second = make_adapter(tmp_path / "b", seed=2, r=13, target_modules=["q_proj", "up_proj"])
    driver = Driver(tiny_model())
    bank = driver.runner.adapters
    indices = [bank.load("a", first), bank.load("b", second)]
    a, b, base = _rows()
    for counts in ((7, 2, 5), (1, 1, 1)):
        news = [(row, tokens(n, n)) for row, n in zip((a, b, base), counts, strict=True)]
        logits = driver.runner.forward(driver.batch(news, adapters=[*indices, 0]))
        whose = ((first, a), (second, b), (None, base))
        oracle = torch.cat(
            [expected(folder, row, n) for (folder, row), n in zip(whose, counts, strict=True)]
        )
        torch.testing.assert_close(logits, oracle, **TIGHT)


def test_only_due_tokens_of_a_batch_are_widened_by_their_own_head(tmp_path: Path) -> None:
    folder = make_adapter(tmp_path / "a", target_modules=["lm_head"])
    driver, (a, b, _) = Driver(tiny_model()), _rows()
    index = driver.runner.adapters.load("a", folder)
    news = [(a, tokens(4)), (b, tokens(6, 1))]
    logits = driver.runner.forward(driver.batch(news, all_logits=False, adapters=[0, index]))
    oracle = torch.cat([expected(None, a, 1), expected(folder, b, 1)])
    torch.testing.assert_close(logits, oracle, **TIGHT)


def test_an_unloaded_adapter_leaves_nothing_behind_for_its_successor(tmp_path: Path) -> None:
    first = make_adapter(tmp_path / "a", seed=1)
    second = make_adapter(tmp_path / "b", seed=2, target_modules=["v_proj"])
    driver, (row, *_) = Driver(tiny_model()), _rows()
    bank = driver.runner.adapters
    index = bank.load("a", first)
    version = bank.version
    bank.unload("a")
    assert bank.load("b", second) == index
    assert bank.version == version, "recorded passes stay valid when room was there"
    logits = driver.runner.forward(driver.batch([(row, tokens(6))], adapters=[index]))
    torch.testing.assert_close(logits, expected(second, row, 6), **TIGHT)
    assert bank.names == ("b",)


def test_room_grows_without_losing_who_is_loaded(tmp_path: Path) -> None:
    small = make_adapter(tmp_path / "small", seed=1, r=2, target_modules=["q_proj"])
    large = make_adapter(tmp_path / "large", seed=2, r=30)
    driver, (row, *_) = Driver(tiny_model()), _rows()
    bank = driver.runner.adapters
    index = bank.load("small", small)
    version = bank.version
    bank.load("large", large)
    assert bank.version != version
    logits = driver.runner.forward(driver.batch([(row, tokens(6))], adapters=[index]))
    torch.testing.assert_close(logits, expected(small, row, 6), **TIGHT)


def test_more_adapters_than_there_is_room_for_are_refused(tmp_path: Path) -> None:
    folder = make_adapter(tmp_path / "a", target_modules=["q_proj"])
    bank = Driver(tiny_model()).runner.adapters
    for number in range(MOST_ADAPTERS):
        bank.load(str(number), folder)
    with pytest.raises(AppError) as refusal:
        bank.load("one more", folder)
    assert refusal.value.code is ErrorCode.ADAPTER_UNSUPPORTED
    assert len(bank.names) == MOST_ADAPTERS


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"use_dora": True}, "use_dora"),
        ({"modules_to_save": ["lm_head"], "target_modules": ["q_proj"]}, "modules_to_save"),
        ({"bias": "lora_only"}, "bias lora_only"),
    ],
)
def test_what_is_more_than_low_rank_matrices_is_refused_with_its_name(
    changes: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    folder = make_adapter(tmp_path / "a", **changes)
    bank = Driver(tiny_model()).runner.adapters
    with pytest.raises(AppError) as refusal:
        bank.load("a", folder)
    assert refusal.value.code is ErrorCode.ADAPTER_UNSUPPORTED
    assert reason in str(refusal.value.params["reason"])
    assert bank.names == ()


def test_an_adapter_of_another_model_is_refused_and_nothing_changes(tmp_path: Path) -> None:
    folder = make_adapter(tmp_path / "a")
    driver = Driver(tiny_model(num_hidden_layers=1))
    with pytest.raises(AppError) as refusal:
        driver.runner.adapters.load("a", folder)
    assert refusal.value.code is ErrorCode.ADAPTER_MISMATCH
    assert "model.layers.1" in refusal.value.detail
    assert driver.runner.model.adapter_ids is None


def test_matrices_of_another_shape_are_refused(tmp_path: Path) -> None:
    folder = make_adapter(tmp_path / "a")
    bank = Driver(tiny_model(intermediate_size=96)).runner.adapters
    with pytest.raises(AppError, match="adapter has"):
        bank.load("a", folder)


def test_values_that_are_not_numbers_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = make_adapter(tmp_path / "a")
    tensors = load_file(folder / WEIGHTS)
    next(iter(tensors.values()))[0, 0] = float("nan")
    save_file(tensors, folder / WEIGHTS)
    with pytest.raises(AppError, match="not numbers"):
        Driver(tiny_model()).runner.adapters.load("a", folder)


def test_a_folder_without_its_files_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(AppError) as refusal:
        Driver(tiny_model()).runner.adapters.load("a", tmp_path)
    assert refusal.value.code is ErrorCode.ADAPTER_NOT_FOUND


def test_a_damaged_configuration_is_refused(tmp_path: Path) -> None:
    folder = make_adapter(tmp_path / "a")
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "PREFIX_TUNING"}))
    with pytest.raises(AppError, match="PREFIX_TUNING"):
        Driver(tiny_model()).runner.adapters.load("a", folder)


def test_a_padded_pass_keeps_everybodys_adapter(tmp_path: Path) -> None:
    folder = make_adapter(tmp_path / "a")
    driver = Driver(tiny_model(), on_host=False)
    index = driver.runner.adapters.load("a", folder)
    pages = [[5, 3, 9], [20, 21, 22]]
    reading = ReadingTokens(driver.pool, 4, 32, positions=64)
    writing = WritingRows(driver.pool, 4, positions=64)
    for counts in ((7, 2), (1, 1)):
        for whose in ([index, 0], [0, index]):
            news = [(Row(p), tokens(n)) for p, n in zip(pages, counts, strict=True)]
            batch = driver.batch(news, all_logits=False, adapters=whose)
            inputs = writing if batch.decodes else reading
            size = inputs.size_for(batch)
            assert size is not None
            inputs.fill(batch, size)
            logits = driver.runner.forward(inputs.batch(size, with_adapters=True))[:2]
            folders = [folder if adapter else None for adapter in whose]
            oracle = [expected(f, row, 1) for f, (row, _) in zip(folders, news, strict=True)]
            torch.testing.assert_close(logits, torch.cat(oracle), **TIGHT)
