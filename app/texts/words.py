"""Single words and short sentences by stable id, in both languages."""

from __future__ import annotations

from typing import NamedTuple


class Words(NamedTuple):
    """One id."""

    en: str
    zh: str


PHASES: dict[str, Words] = {
    "starting": Words("starting", "正在启动"),
    "loading_model": Words("loading the model", "正在加载模型"),
    "reading_data": Words("reading the data", "正在读取数据"),
    "dry_run": Words("trying the heaviest batch", "正在试运行最重的批次"),
    "training": Words("training", "正在训练"),
    "evaluating": Words("evaluating", "正在评估"),
    "rolling_back": Words("going back to a healthy state", "正在回滚"),
    "saving": Words("saving", "正在保存"),
    "sampling": Words("answering the sample questions", "正在回答示例问题"),
    "warming_up": Words("warming up", "正在预热"),
    "ready": Words("ready", "就绪"),
    "draining": Words("finishing open requests", "正在处理未完成的请求"),
    "downloading": Words("downloading", "正在下载"),
    "extracting": Words("unpacking", "正在解包"),
    "verifying": Words("verifying", "正在校验"),
    "comparing": Words("comparing with what was trained", "正在与训练结果比对"),
    "merging": Words("merging the adapter into the weights", "正在将适配器合并到权重"),
    "": Words("", ""),
}

STATUSES: dict[str, Words] = {
    "starting": Words("starting", "启动中"),
    "running": Words("running", "运行中"),
    "completed": Words("completed", "已完成"),
    "stopped": Words("stopped", "已停止"),
    "failed": Words("failed", "失败"),
    "lost": Words("lost", "意外中断"),
    "ready": Words("ready", "就绪"),
    "loading": Words("loading", "加载中"),
    "paused": Words("paused", "已暂停"),
    "stopping": Words("stopping", "停止中"),
    "ok": Words("in order", "正常"),
    "warning": Words("worth a look", "需留意"),
    "broken": Words("broken", "有问题"),
}

JOBS: dict[str, Words] = {
    "train": Words("Training", "训练"),
    "serve": Words("API", "API"),
    "fetch": Words("Fetch", "获取模型"),
    "preview": Words("Preview", "预览"),
    "export": Words("Export", "导出"),
}

REASONS: dict[str, Words] = {
    # why a run ended, by its own last word
    "completed": Words("All steps are done.", "所有步骤均已完成。"),
    "stop_requested": Words("It was asked to stop.", "按要求停止。"),
    "signal": Words("It was told to end by the system.", "被系统终止。"),
    "error": Words("It ended with an error.", "因错误结束。"),
    # and by the supervisor's verdict
    "stopped_by_force": Words(
        "It did not stop when asked, so it was ended by force.", "未响应停止请求，已强制结束。"
    ),
    "out_of_memory": Words(
        "The system ended it because the memory was full.", "内存耗尽，被系统终止。"
    ),
    "killed": Words("Somebody or something killed the process.", "进程被外部终止。"),
    "crashed": Words("The process crashed.", "进程崩溃。"),
    "exited": Words("The process ended by itself.", "进程自行退出。"),
    "never_started": Words("The process ended before it began.", "进程未能启动。"),
    "disk_full": Words("The disk was full.", "磁盘已满。"),
    "events_unwritable": Words("The run's folder could not be written to.", "无法写入运行文件夹。"),
    "gone": Words("The process is gone; nobody saw how it ended.", "进程已消失，原因不明。"),
}

STOP_RUNGS: dict[str, Words] = {
    "command": Words("asked to finish its step", "已请求完成当前步"),
    "terminate": Words("told to end", "已要求结束"),
    "kill": Words("ended by force", "已强制结束"),
}

GPU_REASONS: dict[str, Words] = {
    "gpu.no_library": Words(
        "No NVIDIA driver is installed here, so work is done on the CPU.",
        "未安装 NVIDIA 驱动，计算将使用 CPU。",
    ),
    "gpu.driver_not_loaded": Words(
        "The NVIDIA driver is installed but not running, so work is done on the CPU.",
        "已安装 NVIDIA 驱动但未运行，计算将使用 CPU。",
    ),
    "gpu.version_mismatch": Words(
        "The NVIDIA driver was updated while in use. Restart the computer to use the card again.",
        "NVIDIA 驱动已更新但尚未生效，重启电脑后即可使用显卡。",
    ),
    "gpu.no_permission": Words(
        "This user may not use the NVIDIA card. Ask for access to the video group.",
        "当前用户无权使用 NVIDIA 显卡，请申请加入 video 用户组。",
    ),
    "gpu.no_device": Words(
        "The NVIDIA driver is here but sees no card, so work is done on the CPU.",
        "NVIDIA 驱动已就绪，但未发现显卡，计算将使用 CPU。",
    ),
    "gpu.lost": Words(
        "The card has dropped off the bus. Restart the computer; check its power if it recurs.",
        "显卡已从总线掉线。请重启电脑；若再次出现，请检查供电。",
    ),
    "gpu.failed": Words(
        "The NVIDIA driver answered with an error, so work is done on the CPU.",
        "NVIDIA 驱动返回错误，计算将使用 CPU。",
    ),
}

MODEL_SOURCES: dict[str, Words] = {
    "bundled": Words("bundled", "内置"),
    "catalogue": Words("catalog", "目录"),
    "user": Words("added by you", "自行添加"),
}

LANGUAGES: dict[str, Words] = {
    "en": Words("English", "英文"),
    "zh": Words("Chinese", "中文"),
    "multilingual": Words("many", "多语言"),
}

SPLITS: dict[str, Words] = {
    "train": Words("training", "训练"),
    "domain_specific": Words("domain", "领域"),
    "general": Words("general", "通用"),
    "accuracy": Words("accuracy", "准确性"),
    "robustness": Words("robustness", "鲁棒性"),
    "split": Words("held out", "留出"),
    "held_out": Words("held out", "留出"),
    "eval": Words("evaluation", "评估"),
}
