"""Why an engine and a precision were taken, and why a server refused a command, in both languages.

Keys are the codes of `core.serving.choice` and of `workers.serve.commands`; placeholders are the
params beside them in `serve.ready`. A code that is newer than this program is shown as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from app.texts.words import Words

ENGINES: dict[str, Words] = {
    "native": Words("DeepDeck’s own engine", "DeepDeck 自有引擎"),
    "transformers": Words("transformers", "transformers"),
    "vllm": Words("vLLM", "vLLM"),
    "llama_cpp": Words("llama.cpp", "llama.cpp"),
}

ENGINE_REASONS: dict[str, Words] = {
    "as_chosen": Words("You chose this engine.", "由你指定。"),
    "native_suits": Words(
        "DeepDeck’s own engine knows this architecture and is the fastest here.",
        "DeepDeck 自有引擎支持该架构，在此速度最快。",
    ),
    "native_unsuited": Words(
        "DeepDeck’s own engine does not know this model ({why}); transformers does, but answers "
        "more slowly.",
        "DeepDeck 自有引擎不支持该模型（{why}）；改用 transformers，速度较慢。",
    ),
    "native_refused": Words(
        "DeepDeck’s own engine could not take this model or adapter over ({why}); transformers "
        "serves it, but more slowly.",
        "DeepDeck 自有引擎无法接管该模型或适配器（{why}）；改用 transformers，速度较慢。",
    ),
    "offload_wanted": Words(
        "Part of the model is to stay in main memory; only transformers can do that.",
        "需要将部分模型放在内存中，只有 transformers 支持。",
    ),
    "gguf_on_llama_cpp": Words(
        "A GGUF file runs best on llama.cpp, whose program you chose.",
        "GGUF 文件最适合用 llama.cpp 运行，已使用你选择的程序。",
    ),
    "several_cards_on_vllm": Words(
        "The model is spread over {cards} cards or over machines, which vLLM does.",
        "模型分布在 {cards} 张显卡或多台机器上，由 vLLM 负责。",
    ),
}

PRECISION_REASONS: dict[str, Words] = {
    "as_chosen": Words("You chose this precision.", "由你指定。"),
    "fp32_on_processor": Words(
        "A processor computes fastest in 32 bits.", "在处理器上，32 位计算最快。"
    ),
    "fits_16bit": Words(
        "In 16 bits the model needs {need_gib} GiB; {budget_gib} GiB may be used, so conversations "
        "have room as well.",
        "16 位加载需要 {need_gib} GiB，可用 {budget_gib} GiB，足以同时容纳对话缓存。",
    ),
    "four_bit_for_memory": Words(
        "In 16 bits the model would need {need_gib} GiB, but only {budget_gib} GiB may be used. In "
        "4 bits it fits; answers are a little less exact, and many at once are slower.",
        "16 位加载需要 {need_gib} GiB，但可用仅 {budget_gib} GiB，因此改用 4 位加载；"
        "回答精度略有下降，多人同时使用时速度较慢。",
    ),
    "four_bit_too_large": Words(
        "In 16 bits the model needs {need_gib} GiB and in 4 bits still {need_4bit_gib} GiB, but "
        "only {budget_gib} GiB may be used: it will hardly load. A GGUF file on llama.cpp, or part "
        "of the model in main memory, is the way here.",
        "16 位加载需要 {need_gib} GiB，4 位仍需 {need_4bit_gib} GiB，而可用仅 {budget_gib} GiB，"
        "很可能无法加载；建议改用 llama.cpp 运行 GGUF 文件，或将部分模型放在内存中。",
    ),
    "no_four_bit": Words(
        "In 16 bits the model needs {need_gib} GiB of {budget_gib} GiB. That is tight, but it "
        "cannot be loaded in 4 bits here.",
        "16 位加载需要 {need_gib} GiB，可用 {budget_gib} GiB，较为紧张，但此处无法以 4 位加载。",
    ),
    "offloaded_16bit": Words(
        "16 bits: what the card cannot hold goes to main memory.",
        "16 位加载：显卡放不下的部分放在内存中。",
    ),
    "file_is_quantized": Words(
        "The model’s files are quantized already.", "模型文件本身已经量化。"
    ),
    "memory_unknown": Words(
        "The card’s free memory or the model’s size is not known, so the usual precision is taken.",
        "无法得知可用显存或模型大小，因此使用常规精度。",
    ),
    "engines_own": Words("The engine chooses the precision itself.", "精度由引擎自行决定。"),
}

COMMAND_REFUSALS: dict[str, Words] = {
    "name_taken": Words("There is a model of that name already.", "已有同名模型。"),
    "unknown_adapter": Words("No such adapter is loaded.", "没有加载这样的适配器。"),
    "unknown_request": Words("That request is over already.", "该请求已经结束。"),
    "test_running": Words("A test is running already.", "已有测试正在进行。"),
    "not_ready": Words("The server is not ready.", "服务尚未就绪。"),
    "not_an_adapter": Words("There is no adapter in that folder.", "该文件夹中没有适配器。"),
    "stopping": Words("The server is stopping.", "服务正在停止。"),
}

Language = Literal["en", "zh"]


def engine_name(engine: str, language: Language) -> str:
    """What people call an engine."""
    return _pick(ENGINES, engine, language)


def engine_reason_text(code: str, params: Mapping[str, Any], language: Language) -> str:
    """Why this engine serves."""
    return _filled(_pick(ENGINE_REASONS, code, language), params)


def precision_reason_text(code: str, params: Mapping[str, Any], language: Language) -> str:
    """Why in this precision."""
    return _filled(_pick(PRECISION_REASONS, code, language), params)


def command_refusal_text(code: str, language: Language) -> str:
    """Why a command to a server was refused."""
    return _pick(COMMAND_REFUSALS, code, language)


def _pick(table: Mapping[str, Words], code: str, language: Language) -> str:
    words = table.get(code)
    return code if words is None else getattr(words, language)


def _filled(sentence: str, params: Mapping[str, Any]) -> str:
    try:
        return sentence.format_map(params)
    except (KeyError, ValueError, IndexError):
        return sentence
