"""What a folder of model files is, and whether it can be used. Reads headers, never weights."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

from core.catalog import folder as files
from core.catalog.gguf_header import DamagedGguf, GgufHeader, read_gguf_header
from core.catalog.model_info import ModelInfo
from core.catalog.safetensors_header import DamagedHeader, Tensor, read_header
from core.errors import ErrorCode, ErrorInfo, Param, UsageError

_DTYPE_NAMES = {"BF16": "bf16", "F16": "fp16", "F32": "fp32", "F8_E4M3": "fp8", "F8_E5M2": "fp8"}
_EXPERT = re.compile(r"\.experts\.|_exps\.")
# GGUF's short names of families that transformers reads; class names are transformers'.
_GGUF_ARCHITECTURES = {
    "llama": "LlamaForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "qwen2moe": "Qwen2MoeForCausalLM",
    "qwen3moe": "Qwen3MoeForCausalLM",
    "mistral": "MistralForCausalLM",
    "gemma2": "Gemma2ForCausalLM",
    "gemma3": "Gemma3ForCausalLM",
    "phi3": "Phi3ForCausalLM",
    "gpt2": "GPT2LMHeadModel",
}


class _Refused(Exception):
    def __init__(self, code: ErrorCode, detail: str = "", **params: Param) -> None:
        self.problem = ErrorInfo(code=code.value, params=params, detail=detail)
        super().__init__(code.value)


def inspect_model(path: Path) -> ModelInfo:
    """The model in a folder, or of one GGUF file.

    Everything that speaks against using it is in `problem`: damaged, truncated or missing weights,
    pickles, remote code, no tokenizer, an architecture that does not write text.

    Raises:
        UsageError: `model.not_found` when there is nothing at `path`.
    """
    path = path.expanduser().absolute()
    folder = path.parent if path.is_file() else path
    info = ModelInfo(id=slug(folder.name), name=folder.name, path=folder)
    try:
        if path.is_file():
            return _inspect_gguf(info, path)
        if not path.is_dir():
            raise UsageError(ErrorCode.MODEL_NOT_FOUND, model=str(path))
        return _inspect_folder(info, folder)
    except _Refused as e:
        return info.model_copy(update={"problem": e.problem})
    except OSError as e:
        problem = ErrorInfo(
            code=ErrorCode.MODEL_LOAD_FAILED.value, params={"model": str(path)}, detail=str(e)
        )
        return info.model_copy(update={"problem": problem})


def slug(name: str) -> str:
    """An id made of a name: lower case, digits, dots and dashes."""
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.") or "model"


def _inspect_folder(info: ModelInfo, folder: Path) -> ModelInfo:
    ggufs = sorted(p for p in folder.glob("*.gguf") if p.is_file())
    if not (folder / "config.json").is_file() and len(ggufs) == 1:
        return _inspect_gguf(info, ggufs[0])
    config = _config(folder)
    known = info.model_copy(update=_facts_of_config(folder, config))
    try:
        if script := files.remote_code(folder, config):
            raise _Refused(ErrorCode.MODEL_CODE_REFUSED, path=str(script))
        _check_architecture(folder, known.architecture)
        tensors, size = _weights(folder)
        known = known.model_copy(update=_facts_of_weights(tensors, size, config))
        if not files.has_tokenizer(folder):
            raise _Refused(ErrorCode.MODEL_TOKENIZER_MISSING, path=str(folder))
    except _Refused as e:  # what is known already is worth showing
        return known.model_copy(update={"problem": e.problem})
    return known


def _config(folder: Path) -> dict[str, Any]:
    if not (folder / "config.json").is_file():
        if found := files.pickles(folder):
            raise _Refused(ErrorCode.MODEL_PICKLE_REFUSED, path=str(found[0]))
        raise _Refused(
            ErrorCode.MODEL_CONFIG_INVALID,
            path=str(folder / "config.json"),
            detail="there is no config.json",
        )
    try:
        return files.read_object(folder / "config.json")
    except files.BadConfig as e:
        raise _Refused(
            ErrorCode.MODEL_CONFIG_INVALID, path=str(folder / "config.json"), detail=str(e)
        ) from e


def _facts_of_config(folder: Path, config: dict[str, Any]) -> dict[str, Any]:
    architectures = config.get("architectures")
    first = architectures[0] if isinstance(architectures, list) and architectures else ""
    return {
        "architecture": str(first),
        "model_type": str(config.get("model_type") or ""),
        "context_tokens": _positive(config.get("max_position_embeddings")),
        "vocab_size": _positive(config.get("vocab_size")),
        "licence": files.licence_of(folder),
        "has_chat_template": files.has_chat_template(folder),
    }


def _check_architecture(folder: Path, architecture: str) -> None:
    # transformers is not imported here (seconds, hundreds of MiB): its naming rule is enough.
    if not architecture.endswith(("ForCausalLM", "LMHeadModel")):
        raise _Refused(
            ErrorCode.MODEL_UNSUPPORTED, path=str(folder), architecture=architecture or "?"
        )


def _weights(folder: Path) -> tuple[list[Tensor], int]:
    shards = _shards(folder)
    if not shards:
        if found := files.pickles(folder):
            raise _Refused(ErrorCode.MODEL_PICKLE_REFUSED, path=str(found[0]))
        raise _Refused(ErrorCode.MODEL_WEIGHTS_MISSING, path=str(folder))
    tensors: list[Tensor] = []
    for shard in shards:
        try:
            tensors += read_header(shard)
        except DamagedHeader as e:
            raise _Refused(ErrorCode.MODEL_WEIGHTS_DAMAGED, path=str(shard), detail=str(e)) from e
    return tensors, sum(s.stat().st_size for s in shards)


def _shards(folder: Path) -> list[Path]:
    """The files that hold the weights, by the index where there is one."""
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        single = folder / "model.safetensors"
        return [single] if single.is_file() else []
    try:
        weight_map = files.read_object(index, files.MAX_INDEX_BYTES).get("weight_map")
    except files.BadConfig as e:
        raise _Refused(ErrorCode.MODEL_WEIGHTS_DAMAGED, path=str(index), detail=str(e)) from e
    if not isinstance(weight_map, dict) or not weight_map:
        raise _Refused(ErrorCode.MODEL_WEIGHTS_DAMAGED, path=str(index), detail="no weight_map")
    return [_shard(folder, str(name)) for name in sorted(set(map(str, weight_map.values())))]


def _shard(folder: Path, name: str) -> Path:
    """One file of the index; a name that is a path would lead out of the folder."""
    if Path(name).name != name:
        raise _Refused(
            ErrorCode.MODEL_WEIGHTS_DAMAGED, path=str(folder), detail=f"shard named {name[:80]}"
        )
    if not (folder / name).is_file():
        raise _Refused(ErrorCode.MODEL_WEIGHTS_MISSING, path=str(folder / name))
    return folder / name


def _facts_of_weights(tensors: list[Tensor], size: int, config: dict[str, Any]) -> dict[str, Any]:
    total = sum(t.elements for t in tensors)
    experts = sum(t.elements for t in tensors if _EXPERT.search(t.name))
    by_dtype = Counter[str]()
    for t in tensors:
        by_dtype[t.dtype] += t.elements
    main = by_dtype.most_common(1)[0][0] if by_dtype else ""
    return {
        "parameters": total,
        "active_parameters": _active(total, experts, config),
        "size_bytes": size,
        "dtype": _DTYPE_NAMES.get(main, main.lower()),
    }


def _active(total: int, experts: int, config: dict[str, Any]) -> int:
    """Of the routed experts a token passes only its own (https://arxiv.org/abs/2401.06066)."""
    names = ("n_routed_experts", "num_experts", "num_local_experts")
    count = next((c for n in names if (c := _positive(config.get(n)))), None)
    chosen = _positive(config.get("num_experts_per_tok"))
    if not experts or not count or not chosen:
        return total
    return total - experts + experts * min(chosen, count) // count


def _inspect_gguf(info: ModelInfo, path: Path) -> ModelInfo:
    if path.suffix.lower() in files.PICKLE_SUFFIXES:
        raise _Refused(ErrorCode.MODEL_PICKLE_REFUSED, path=str(path))
    try:
        header = read_gguf_header(path)
    except DamagedGguf as e:
        raise _Refused(ErrorCode.MODEL_WEIGHTS_DAMAGED, path=str(path), detail=str(e)) from e
    short = str(header.metadata.get("general.architecture", ""))
    known = info.model_copy(update=_facts_of_gguf(path, short, header))
    problem = None
    if not known.architecture:
        problem = ErrorInfo(
            code=ErrorCode.MODEL_UNSUPPORTED.value,
            params={"path": str(path), "architecture": short or "?"},
        )
    elif not known.vocab_size:
        problem = ErrorInfo(
            code=ErrorCode.MODEL_TOKENIZER_MISSING.value, params={"path": str(path)}
        )
    return known.model_copy(update={"problem": problem})


def _facts_of_gguf(path: Path, short: str, header: GgufHeader) -> dict[str, Any]:
    metadata = header.metadata
    by_dtype = Counter[str]()
    for tensor in header.tensors:
        by_dtype[tensor.dtype] += tensor.elements
    total = sum(by_dtype.values())
    experts = sum(t.elements for t in header.tensors if _EXPERT.search(t.name))
    routed = {
        "num_experts": metadata.get(f"{short}.expert_count"),
        "num_experts_per_tok": metadata.get(f"{short}.expert_used_count"),
    }
    return {
        "format": "gguf",
        "gguf_file": path.name,
        "architecture": _GGUF_ARCHITECTURES.get(short, ""),
        "model_type": short,
        "parameters": total,
        "active_parameters": _active(total, experts, routed),
        "size_bytes": path.stat().st_size,
        "dtype": by_dtype.most_common(1)[0][0] if by_dtype else "",
        "context_tokens": _positive(metadata.get(f"{short}.context_length")),
        "vocab_size": _positive(metadata.get("tokenizer.ggml.tokens")),
        "licence": str(metadata.get("general.license") or files.licence_of(path.parent)),
        "has_chat_template": bool(metadata.get("tokenizer.chat_template")),
    }


def _positive(value: Any) -> int | None:
    return value if type(value) is int and value > 0 else None
