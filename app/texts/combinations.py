"""Why a way of training is not offered, in both languages.

Keys are the codes of `core.config.combinations`; placeholders: strategy. A test holds that every
code is here.
"""

from __future__ import annotations

from typing import NamedTuple


class RefusalTexts(NamedTuple):
    """One reason: what does not go together, and what to choose instead."""

    en: str
    en_instead: str
    zh: str
    zh_instead: str


REFUSALS: dict[str, RefusalTexts] = {
    "combination.quantized_full": RefusalTexts(
        "Quantized weights cannot be trained themselves.",
        "Train an adapter (LoRA) on them, or load the model in 16 bits.",
        "量化后的权重本身无法训练。",
        "请在其上训练 LoRA 适配器，或以 16 位精度加载模型。",
    ),
    "combination.fsdp2_quantized": RefusalTexts(
        "FSDP2 with a 4-bit or 8-bit model gave wrong gradients from the second pass on.",
        "Use DDP, where each GPU holds the whole quantized model, or FSDP2 with a 16-bit model.",
        "FSDP2 配合 4 位或 8 位模型时，从第二次前向/反向起梯度就不正确。",
        "请改用 DDP（每张 GPU 保存完整的量化模型），或将 FSDP2 与 16 位模型搭配。",
    ),
    "combination.zero3_quantized": RefusalTexts(
        "ZeRO-3 cannot split a 4-bit or 8-bit model: every GPU loads all of it, and adapters "
        "were saved empty.",
        "Use DDP, where each GPU holds the whole quantized model.",
        "ZeRO-3 无法切分 4 位或 8 位模型：每张 GPU 都会加载完整模型，"
        "且曾出现适配器保存为空的情况。",
        "请改用 DDP，每张 GPU 保存完整的量化模型。",
    ),
    "combination.tp_quantized": RefusalTexts(
        "Tensor parallel slices weights while they load; 4-bit and 8-bit weights cannot be sliced.",
        "Use DDP for a quantized model, or tensor parallel with a 16-bit model.",
        "张量并行会在加载时切分权重，而 4 位和 8 位权重无法切分。",
        "量化模型请使用 DDP；张量并行请搭配 16 位模型。",
    ),
    "combination.tp_full": RefusalTexts(
        "Training every weight under tensor parallel was not shown to be right here.",
        "Use FSDP2 for full fine-tuning.",
        "在张量并行下训练全部权重，其正确性尚未在本项目中得到验证。",
        "全参数微调请使用 FSDP2。",
    ),
    "combination.tp_experts": RefusalTexts(
        "Adapters on a mixture of experts under tensor parallel were not shown to be right here.",
        "Use FSDP2, which splits the experts' weights as well.",
        "在张量并行下为混合专家（MoE）模型训练适配器，其正确性尚未在本项目中得到验证。",
        "请使用 FSDP2，它同样会切分专家权重。",
    ),
    "combination.zero3_experts": RefusalTexts(
        "A mixture of experts under ZeRO-3 was not shown to be right here.",
        "Use FSDP2, which splits the experts' weights as well.",
        "在 ZeRO-3 下训练混合专家（MoE）模型，其正确性尚未在本项目中得到验证。",
        "请使用 FSDP2，它同样会切分专家权重。",
    ),
    "combination.dora_split": RefusalTexts(
        "DoRA needs the norm of whole weights, which {strategy} never has in one place.",
        "Use LoRA without DoRA, or DDP.",
        "DoRA 需要完整权重的范数，而 {strategy} 下任何进程都没有完整权重。",
        "请关闭 DoRA 使用普通 LoRA，或改用 DDP。",
    ),
    "combination.optimizer_split": RefusalTexts(
        "8-bit and paged optimizer states do not know weights that {strategy} has split.",
        "Choose adamw_torch_fused; split states are small already.",
        "8 位及分页优化器状态不支持被 {strategy} 切分的权重。",
        "请选择 adamw_torch_fused，切分之后的优化器状态本身已经很小。",
    ),
    "combination.offload_twice": RefusalTexts(
        "Optimizer offload is for whole weights; {strategy} has its own way.",
        "Switch on “cpu_offload” of the parallel settings instead (FSDP2 and ZeRO-3).",
        "优化器卸载只适用于未切分的权重，{strategy} 有自己的卸载方式。",
        "请改为在并行设置中打开 “cpu_offload”（FSDP2 与 ZeRO-3）。",
    ),
    "combination.cpu_offload_alone": RefusalTexts(
        "Only FSDP2 and ZeRO-3 can keep weights in host memory.",
        "Choose one of them, or use optimizer offload or a 4-bit model.",
        "只有 FSDP2 和 ZeRO-3 能将权重保留在主机内存中。",
        "请选择其中之一，或使用优化器卸载、4 位模型。",
    ),
    "combination.activation_offload_split": RefusalTexts(
        "Activation offload together with {strategy} was not shown to be right here.",
        "Use gradient checkpointing, which works with all of them.",
        "激活卸载与 {strategy} 的组合，其正确性尚未在本项目中得到验证。",
        "请使用梯度检查点，它适用于所有并行方式。",
    ),
    "combination.fp16_split": RefusalTexts(
        "With fp16 each process of {strategy} would judge an overflow by its own part alone.",
        "Use bf16, or fp32 on cards that have no bf16.",
        "使用 fp16 时，{strategy} 的各进程只能依据自己的部分判断是否溢出。",
        "请使用 bf16；不支持 bf16 的显卡请使用 fp32。",
    ),
    "combination.compile_split": RefusalTexts(
        "Compiled layers together with {strategy} were not shown to be right here.",
        "Switch compilation off, or use DDP.",
        "编译后的层与 {strategy} 的组合，其正确性尚未在本项目中得到验证。",
        "请关闭编译，或改用 DDP。",
    ),
    "combination.liger_split": RefusalTexts(
        "Liger's kernels read weights directly and would see only the part that {strategy} left.",
        "Switch Liger off, or use DDP.",
        "Liger 内核直接读取权重，在 {strategy} 下只能看到其中一部分。",
        "请关闭 Liger，或改用 DDP。",
    ),
    "combination.dora_int8": RefusalTexts(
        "DoRA on a model in 8 bits was seen to fail: the scales of its weights get lost.",
        "Load the model in 4 bits or 16, or train LoRA without DoRA.",
        "已发现 DoRA 与 8 位模型搭配会失败：权重的缩放系数会丢失。",
        "请以 4 位或 16 位加载模型，或改用不带 DoRA 的 LoRA。",
    ),
    "combination.offload_optimizer_kind": RefusalTexts(
        "Only AdamW's 32-bit states can be kept in the computer's memory by this option; paged "
        "ones go there by themselves.",
        "Switch optimizer_offload off, or choose adamw_torch.",
        "该选项只能把 AdamW 的 32 位状态放在内存中；分页状态会自行换出。",
        "请关闭 optimizer_offload，或选择 adamw_torch。",
    ),
    "combination.paged_on_cpu": RefusalTexts(
        "Paged optimizer states need an NVIDIA GPU.",
        "Without a GPU, use adamw_8bit or adamw_torch.",
        "分页的优化器状态需要 NVIDIA GPU。",
        "没有 GPU 时，请使用 adamw_8bit 或 adamw_torch。",
    ),
    "combination.zero3_on_cpu": RefusalTexts(
        "ZeRO-3 of DeepSpeed needs NVIDIA GPUs.",
        "Without a GPU, use DDP or FSDP2.",
        "DeepSpeed 的 ZeRO-3 需要 NVIDIA GPU。",
        "没有 GPU 时，请使用 DDP 或 FSDP2。",
    ),
    "combination.one_card_for_many": RefusalTexts(
        "Several processes cannot share the one GPU that is chosen.",
        "Set the device to “auto” or “cuda”; each process then takes a GPU of its own.",
        "多个进程无法共用所选的同一张 GPU。",
        "请将设备设为 “auto” 或 “cuda”，每个进程会各用一张 GPU。",
    ),
}
