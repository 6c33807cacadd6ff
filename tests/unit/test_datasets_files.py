"""Files and folders of data: layouts, splits, counts, and the line of what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.datasets import Dataset, open_dataset, read_samples, validate
from core.errors import ErrorCode, UsageError


def rows(count: int, start: int = 0) -> list[dict[str, str]]:
    return [{"prompt": f"q{i}", "completion": f"a{i}"} for i in range(start, start + count)]


def write_lines(path: Path, values: list[Any], end: str = "\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(v, ensure_ascii=False) + end for v in values), "utf-8")
    return path


def questions(dataset: Dataset, split: str = "train") -> list[str]:
    files = dataset.train if split == "train" else dataset.evals[split]
    return [s.messages[0].content for f in files for s in read_samples(f)]


def refusal(path: Path) -> UsageError:
    """What is said about data, at opening or at reading."""
    with pytest.raises(UsageError) as caught:
        _read_all(path)
    return caught.value


def _read_all(path: Path) -> None:
    for file in open_dataset(path).files:
        list(read_samples(file))


def test_the_layout_with_four_folders_gives_two_training_files_and_two_splits(
    tmp_path: Path,
) -> None:
    write_lines(tmp_path / "train/domain_specific/a.jsonl", rows(3))
    write_lines(tmp_path / "train/general/b.jsonl", rows(2, 10))
    write_lines(tmp_path / "eval/accuracy/c.jsonl", rows(1, 20))
    write_lines(tmp_path / "eval/robustness/d.jsonl", rows(4, 30))
    (tmp_path / "dataset.json").write_text('{"license": "CC0-1.0"}')
    dataset = open_dataset(tmp_path)
    assert dataset.counts == {"train": 5, "accuracy": 1, "robustness": 4}
    assert [f.category for f in dataset.train] == ["domain_specific", "general"]
    assert questions(dataset) == ["q0", "q1", "q2", "q10", "q11"]
    assert dataset.licence == "CC0-1.0"


def test_a_flat_folder_is_split_by_file_names(tmp_path: Path) -> None:
    write_lines(tmp_path / "train-00000.jsonl", rows(3))
    write_lines(tmp_path / "validation.jsonl", rows(2, 10))
    write_lines(tmp_path / "testing_tools.jsonl", rows(2, 20))
    dataset = open_dataset(tmp_path)
    assert dataset.counts == {"train": 5, "eval": 2}
    assert questions(dataset, "eval") == ["q10", "q11"]


@pytest.mark.parametrize(
    ("count", "held_out"), [(1, 0), (2, 1), (20, 1), (40, 2), (100, 5), (5000, 200)]
)
def test_a_single_file_holds_five_percent_out(tmp_path: Path, count: int, held_out: int) -> None:
    dataset = open_dataset(write_lines(tmp_path / "data.jsonl", rows(count)))
    assert dataset.counts.get("held_out", 0) == held_out
    assert dataset.counts["train"] == count - held_out


def test_held_out_rows_are_the_same_each_time_and_never_trained(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", rows(60))
    write_lines(tmp_path / "b.jsonl", rows(60, 60))
    first, second = open_dataset(tmp_path), open_dataset(tmp_path)
    held = questions(first, "held_out")
    assert held == questions(second, "held_out")
    assert len(held) == 6
    assert set(held).isdisjoint(questions(first))
    assert set(held) | set(questions(first)) == {f"q{i}" for i in range(120)}


@pytest.mark.parametrize("text", ["[{0}, {1}]", "\n\n [\n{0}\n,\n{1} ]\n", "\ufeff[{0},{1}]"])
def test_one_json_list_reads_like_lines(tmp_path: Path, text: str) -> None:
    items = [json.dumps(r) for r in rows(2)]
    path = tmp_path / "data.json"
    path.write_text(text.replace("{0}", items[0]).replace("{1}", items[1]), "utf-8")
    dataset = open_dataset(path)
    assert sum(dataset.counts.values()) == 2
    assert sorted(questions(dataset) + questions(dataset, "held_out")) == ["q0", "q1"]


def test_lines_in_a_file_named_json_are_read_as_lines(tmp_path: Path) -> None:
    assert sum(open_dataset(write_lines(tmp_path / "d.json", rows(3))).counts.values()) == 3


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n", "\n \t\n"])
def test_line_ends_and_blank_lines_do_not_count(tmp_path: Path, end: str) -> None:
    dataset = open_dataset(write_lines(tmp_path / "d.jsonl", rows(30), end))
    assert sum(dataset.counts.values()) == 30
    assert len(questions(dataset)) + len(questions(dataset, "held_out")) == 30


def test_a_last_line_without_its_end_counts(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "d.jsonl", rows(1))
    path.write_bytes(path.read_bytes().rstrip())
    assert open_dataset(path).counts == {"train": 1}


def test_a_byte_order_mark_is_no_part_of_the_data(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "d.jsonl", rows(1))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert questions(open_dataset(path)) == ["q0"]


def test_a_line_separator_inside_a_text_does_not_split_the_line(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "d.jsonl", [{"prompt": "a\u2028b\x85c", "completion": "d"}])
    assert questions(open_dataset(path)) == ["a\u2028b\x85c"]


def test_broken_json_is_named_with_its_line(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "d.jsonl", rows(3))
    path.write_text(path.read_text() + "\n{'prompt': 1}\n")
    error = refusal(path)
    assert (error.code, error.params["line"]) == (ErrorCode.DATA_BAD_JSON, 5)
    assert error.params["path"] == str(path)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('[\n{"text": "a"},\n{"text": }\n]', 3),
        ('[{"text": "a"}\n{"text": "b"}]', 2),
        ('[\n{"text": "a"},\n', 3),
        ('[{"text": "a"}]\nmore', 1),
    ],
)
def test_a_broken_list_is_named_with_its_line(tmp_path: Path, text: str, line: int) -> None:
    path = tmp_path / "d.json"
    path.write_text(text)
    error = refusal(path)
    assert (error.code, error.params["line"]) == (ErrorCode.DATA_BAD_JSON, line)


def test_json_nested_too_deeply_is_refused_not_crashed_on(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text('{"text": ' + "[" * 100_000 + "\n")
    assert refusal(path).code is ErrorCode.DATA_BAD_JSON


@pytest.mark.parametrize("encoding", ["latin-1", "gb18030"])
def test_another_encoding_is_named_with_its_line(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "d.jsonl"
    text = "é" if encoding == "latin-1" else "你好"
    path.write_bytes(b'{"text": "a"}\n' + f'{{"text": "{text}"}}\n'.encode(encoding))
    error = refusal(path)
    assert (error.code, error.params["line"]) == (ErrorCode.DATA_NOT_UTF8, 2)


@pytest.mark.parametrize("content", ['{"text": "a"}\n'.encode("utf-16"), b"\x89PNG\r\n\x1a\n\x00"])
def test_a_file_that_is_no_text_at_all_is_refused_at_its_first_line(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "d.jsonl"
    path.write_bytes(content)
    error = refusal(path)
    assert (error.code, error.params["line"]) == (ErrorCode.DATA_NOT_UTF8, 1)


@pytest.mark.parametrize("content", ["", "\n \n", "\ufeff", "[]", "[ \n]"])
def test_a_file_without_rows_is_empty(tmp_path: Path, content: str) -> None:
    path = tmp_path / "d.json"
    path.write_text(content, "utf-8")
    assert refusal(path).code is ErrorCode.DATA_EMPTY


def test_a_folder_without_data_files_is_empty(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    assert refusal(tmp_path).code is ErrorCode.DATA_EMPTY


def test_an_unknown_kind_of_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "d.parquet"
    path.write_bytes(b"PAR1")
    assert refusal(path).code is ErrorCode.DATA_UNKNOWN_FORMAT


def test_nothing_there_is_not_found(tmp_path: Path) -> None:
    assert refusal(tmp_path / "no").code is ErrorCode.DATA_NOT_FOUND


def test_wrong_columns_are_named(tmp_path: Path) -> None:
    error = refusal(write_lines(tmp_path / "d.jsonl", [{"question": "a", "answer": "b"}]))
    assert (error.code, error.params["found"]) == (ErrorCode.DATA_BAD_COLUMNS, "answer, question")


def test_columns_that_change_in_the_middle_are_named_with_their_line(tmp_path: Path) -> None:
    error = refusal(write_lines(tmp_path / "d.jsonl", [*rows(2), {"text": "a"}, *rows(30)]))
    assert (error.code, error.params["line"]) == (ErrorCode.DATA_BAD_COLUMNS, 3)


def test_a_check_lists_all_problems_of_a_file_at_once(tmp_path: Path) -> None:
    values = [*rows(3), {"text": "a"}, {"prompt": "a", "completion": ""}, *rows(30)]
    path = write_lines(tmp_path / "d.jsonl", values)
    path.write_text(path.read_text() + "nonsense\n")
    report = validate(open_dataset(path))
    assert {(p.code, p.params["line"]) for p in report.problems} == {
        ("data.bad_columns", 4),
        ("data.bad_sample", 5),
        ("data.bad_json", 36),
    }


def test_a_check_of_good_data_reads_every_row(tmp_path: Path) -> None:
    report = validate(open_dataset(write_lines(tmp_path / "d.jsonl", rows(40))))
    assert (report.problems, report.rows_checked, report.complete) == ((), 40, True)


def test_a_check_of_a_long_file_says_that_it_did_not_read_all(tmp_path: Path) -> None:
    report = validate(open_dataset(write_lines(tmp_path / "d.jsonl", rows(40))), max_rows_a_file=5)
    assert not report.complete
    assert not report.problems


def test_a_check_stops_at_twenty_problems(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "d.jsonl", [*rows(1), *({"text": "a"} for _ in range(100))])
    assert len(validate(open_dataset(path)).problems) == 20
