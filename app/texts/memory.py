"""Memory of a training in both languages: parts, findings, measures, verdicts.

Findings are those of a dry run and of an out-of-memory error (`DryRunDone.problems`,
`MemoryRanOut.findings`); placeholders are their params. A code that is newer than this program is
shown as it is. Qt-free: window and command line speak with it.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from app.texts.words import PHASES, Words
from core.planning import Verdict
from core.protocol.events import Finding

Language = Literal["en", "zh"]


class RungTexts(NamedTuple):
    """A measure: what it is called, and what it does and costs."""

    en: str
    en_help: str
    zh: str
    zh_help: str


class RungText(NamedTuple):
    """A measure in one language."""

    name: str
    help: str


PARTS: dict[str, Words] = {
    "weights": Words("weights of the model", "模型权重"),
    "adapter": Words("the adapter", "适配器"),
    "gradients": Words("gradients", "梯度"),
    "optimizer": Words("states of the optimizer", "优化器状态"),
    "activations": Words("activations", "激活"),
    "logits": Words("logits of the vocabulary", "词表 logits"),
    "overhead": Words("CUDA and libraries", "CUDA 与程序库"),
    "fragmentation": Words("fragments", "碎片"),
    "other": Words("other", "其他"),
}

FINDINGS: dict[str, Words] = {
    "dry_run.not_finite": Words(
        "The loss or a gradient was not a finite number (training sample {sample} was the longest "
        "of the batch). Weights or data are damaged, or the precision is too low.",
        "损失或梯度不是有限数值（该批次中最长的训练样本编号为 {sample}）。"
        "权重或数据可能已损坏，或精度过低。",
    ),
    "dry_run.disk_small": Words(
        "{checkpoints} checkpoints need {needed_gib} GiB, {free_gib} GiB are free. Free some disk "
        "space, or keep fewer checkpoints.",
        "{checkpoints} 个检查点需要 {needed_gib} GiB，磁盘仅剩 {free_gib} GiB。"
        "请腾出磁盘空间，或减少保留的检查点。",
    ),
    "dry_run.save_failed": Words(
        "A checkpoint could not be written and read back: {detail}",
        "检查点写入或回读失败：{detail}",
    ),
    "dry_run.memory_tight": Words(
        "The heaviest batch takes {peak_gib} of {limit_gib} GiB: another program on the card would "
        "be one too many.",
        "最重的批次占用 {peak_gib} GiB，上限为 {limit_gib} GiB：显卡上再有其他程序就会不够用。",
    ),
    "memory.while": Words(
        "It happened while the run was {phase}.",
        "发生时的阶段：{phase}。",
    ),
    "memory.largest_part": Words(
        "The largest part is {part}: {gib} GiB by the forecast.",
        "占用最多的是{part}：预计 {gib} GiB。",
    ),
    "memory.fragmented": Words(
        "{gib} GiB were reserved but lay in pieces too small to be used. Going on with a fresh "
        "allocator gives them back.",
        "{gib} GiB 已预留，但因碎片过小而无法使用。重新开始分配后即可收回。",
    ),
    "memory.grew": Words(
        "Memory grew during the run, from {from_gib} to {to_gib} GiB between steps.",
        "运行期间内存持续增长：两步之间的占用由 {from_gib} GiB 升至 {to_gib} GiB。",
    ),
    "memory.longest_sample": Words(
        "The heaviest batch has {rows} rows; its longest is training sample {sample} with {tokens} "
        "tokens ({file}, line {line}).",
        "最重的批次有 {rows} 行，其中最长的是训练样本 {sample}，共 {tokens} 个 token"
        "（{file}，第 {line} 行）。",
    ),
    "memory.other_programs": Words(
        "Other programs hold {gib} GiB of the card: {programs}. Closing them may be enough.",
        "其他程序占用了 {gib} GiB 显存：{programs}。关闭它们也许就够了。",
    ),
    "memory.host_full": Words(
        "It was the computer's memory that ran out, not the card's: {free_gib} GiB were free. What "
        "is offloaded needs room there.",
        "耗尽的是计算机内存而不是显存：当时可用 {free_gib} GiB。卸载到内存的内容需要占用其空间。",
    ),
    "memory.spilled": Words(
        "{gib} GiB are more than the card has: the driver had moved a part into the computer's "
        "memory, where every access is many times slower.",
        "{gib} GiB 已超过显卡容量：驱动程序把一部分移到了共享内存（计算机内存），访问会慢很多倍。",
    ),
    "memory.was_saved": Words(
        "The state after step {step} was saved first: nothing is lost.",
        "已先保存第 {step} 步后的状态，没有任何损失。",
    ),
}

RUNGS: dict[str, RungTexts] = {
    "chunked_loss": RungTexts(
        "Compute the loss piece by piece",
        "Logits of the whole vocabulary are never held together. The numbers stay the same.",
        "分块计算损失",
        "不再同时保存整个词表的 logits，数值不变。",
    ),
    "selective_checkpointing": RungTexts(
        "Compute cheap activations again",
        "Selective gradient checkpointing: what attention made is kept, the rest is made again.",
        "重算部分激活",
        "选择性梯度检查点：保留注意力的结果，其余在反向传播时重新计算。",
    ),
    "gradient_checkpointing": RungTexts(
        "Compute all activations again",
        "Full gradient checkpointing: each layer keeps its input only and runs a second time.",
        "重算全部激活",
        "完全梯度检查点：每层只保留输入，反向传播时重新前向一次。",
    ),
    "smaller_micro_batch": RungTexts(
        "Smaller micro-batches",
        "Fewer samples at once and more accumulation: a step learns from as many tokens as before.",
        "减小微批次",
        "每次处理的样本更少、累积次数更多：每步学习的 token 数不变。",
    ),
    "packing_length": RungTexts(
        "Shorter packed rows",
        "Half as long and twice as many. Samples that are longer are cut, so start a new run.",
        "缩短拼接长度",
        "行长减半、行数加倍。更长的样本会被截断，因此需要新建运行。",
    ),
    "bf16_adapters": RungTexts(
        "Adapter in bf16",
        "Halves what the adapter keeps; its small updates are rounded more coarsely.",
        "适配器使用 bf16",
        "适配器占用减半，但微小的更新会被更粗略地舍入。",
    ),
    "activation_offload": RungTexts(
        "Keep activations in the computer's memory",
        "They come back in time for the backward pass; the bus to the card sets the pace.",
        "将激活移到内存",
        "反向传播前再取回；速度取决于与显卡之间的总线。",
    ),
    "optimizer_8bit": RungTexts(
        "Optimizer states in 8 bits",
        "A quarter of their size, in blocks with a scale each (bitsandbytes).",
        "8 位优化器状态",
        "大小约为原来的四分之一，分块量化（bitsandbytes）。",
    ),
    "optimizer_offload": RungTexts(
        "Keep optimizer states in the computer's memory",
        "They visit the card in each update; the numbers stay the same.",
        "将优化器状态移到内存",
        "每次更新时再搬到显卡，数值不变。",
    ),
    "load_in_4bit": RungTexts(
        "Load the model in 4 bits",
        "The frozen weights become NF4 (QLoRA): a quarter of their size, slightly less exact.",
        "以 4 位加载模型",
        "冻结的权重转为 NF4（QLoRA）：大小约为四分之一，精度略有下降。",
    ),
    "more_gpus": RungTexts(
        "Share the model out over all cards",
        "Each card holds a part of the weights (FSDP2). Start a new run for it.",
        "将模型分布到全部显卡",
        "每张显卡只保存一部分权重（FSDP2），需要新建运行。",
    ),
}

_FITS = Words(
    "Needs about {needed} GiB; {free} of {total} GiB are free: it fits.",
    "约需 {needed} GiB，可用 {free} / {total} GiB：足够。",
)
_TIGHT = Words(
    "Needs about {needed} GiB; {free} of {total} GiB are free: it is tight.",
    "约需 {needed} GiB，可用 {free} / {total} GiB：比较紧张。",
)
_TOO_MUCH = Words(
    "Needs about {needed} GiB; only {free} of {total} GiB are free.",
    "约需 {needed} GiB，但仅有 {free} / {total} GiB 可用。",
)
_ALONE = Words(
    "It would fit if other programs gave the card free: {programs}.",
    "如果其他程序释放显存就足够了：{programs}。",
)
_VERDICTS = {"fits": _FITS, "tight": _TIGHT, "does_not_fit": _TOO_MUCH}
_UNNAMED = Words("programs that are not told by name", "未能识别名称的程序")


def part_text(part: str, language: Language) -> str:
    """The name of a part of the memory."""
    return _pick(PARTS.get(part, Words(part, part)), language)


def is_memory_finding(code: str) -> bool:
    """Whether the words of a finding are here."""
    return code in FINDINGS


def memory_finding_text(finding: Finding, language: Language) -> str:
    """A finding of a dry run or of an out-of-memory error as a sentence."""
    words = FINDINGS.get(finding.code)
    if words is None:
        return f"{finding.code} {finding.params}" if finding.params else finding.code
    facts = _Facts(finding.params)
    if "part" in facts:
        facts["part"] = part_text(str(facts["part"]), language)
    if "phase" in facts:
        phase = str(facts["phase"])
        facts["phase"] = _pick(PHASES.get(phase, Words(phase, phase)), language)
    return _pick(words, language).format_map(facts)


def rung_text(code: str, language: Language) -> RungText:
    """A measure, or several that were taken together ("a,b")."""
    texts = [_one_rung(part, language) for part in code.split(",")]
    joint = "; " if language == "en" else "；"
    return RungText(joint.join(t.name for t in texts), " ".join(t.help for t in texts).strip())


def verdict_text(verdict: Verdict, language: Language) -> str:
    """Whether a training fits, and what is in the way."""
    room = verdict.room
    text = _pick(_VERDICTS[verdict.fit], language).format(
        needed=f"{verdict.needed_gib:.1f}",
        free=f"{room.free_gib:.1f}",
        total=f"{room.total_gib:.1f}",
    )
    if not verdict.would_fit_alone:
        return text
    named = ", ".join(
        f"{user.name or user.pid} {user.memory_gib or 0:.1f} GiB" for user in room.others
    )
    alone = _pick(_ALONE, language).format(programs=named or _pick(_UNNAMED, language))
    return f"{text} {alone}" if language == "en" else text + alone


def _one_rung(code: str, language: Language) -> RungText:
    found = RUNGS.get(code)
    if found is None:
        return RungText(code, "")
    en = RungText(found.en, found.en_help)
    return en if language == "en" else RungText(found.zh, found.zh_help)


def _pick(words: Words, language: Language) -> str:
    return words.zh if language == "zh" else words.en


class _Facts(dict[str, Any]):
    """Facts that are missing (an older worker) leave a dash, never a traceback."""

    def __missing__(self, key: str) -> str:
        return "–"
