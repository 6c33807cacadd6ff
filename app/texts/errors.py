"""Every error code in both languages: what happened, and what to do.

Placeholders in braces are the parameters named behind the code in `core.errors`. A test holds that
every code is here and that both languages use the same placeholders.
"""

from __future__ import annotations

from typing import NamedTuple


class ErrorTexts(NamedTuple):
    """One code."""

    en: str
    en_hint: str
    zh: str
    zh_hint: str


ERRORS: dict[str, ErrorTexts] = {
    "model.not_found": ErrorTexts(
        "There is no model “{model}” here.",
        "Choose one on the Models page, fetch it there, or give the folder that holds its files.",
        "找不到模型“{model}”。",
        "请在“模型”页选择或获取模型，也可以直接指定模型文件所在的文件夹。",
    ),
    "model.config_invalid": ErrorTexts(
        "The model's config.json cannot be used: {detail}",
        "Fetch or copy the model again. Its folder is {path}.",
        "模型的 config.json 无法使用：{detail}",
        "请重新获取或复制该模型，所在文件夹为 {path}。",
    ),
    "model.weights_missing": ErrorTexts(
        "The folder {path} holds no weights.",
        "A model folder needs .safetensors files or one .gguf file beside its config.json.",
        "文件夹 {path} 中没有权重文件。",
        "模型文件夹除 config.json 外，还需要 .safetensors 文件或一个 .gguf 文件。",
    ),
    "model.weights_damaged": ErrorTexts(
        "The weights in {path} are damaged: {detail}",
        "The file was probably cut off while it was copied. Fetch or copy it again.",
        "{path} 中的权重已损坏：{detail}",
        "文件很可能在复制时中断，请重新获取或复制。",
    ),
    "model.pickle_refused": ErrorTexts(
        "{path} holds pickle weights, which can run any program when they are read.",
        "Use the safetensors version of this model, or convert it on a machine you can lose.",
        "{path} 是 pickle 格式的权重，读取时可能执行任意程序，因此未打开。",
        "请改用该模型的 safetensors 版本，或在隔离的机器上先行转换。",
    ),
    "model.code_refused": ErrorTexts(
        "The model in {path} brings its own program code, which DeepDeck does not run.",
        "Choose a version of this model that transformers knows by itself.",
        "{path} 中的模型自带程序代码，DeepDeck 不会运行它。",
        "请选择 transformers 原生支持的版本。",
    ),
    "model.unsupported": ErrorTexts(
        "DeepDeck cannot use the architecture “{architecture}” of {path}.",
        "The Models page lists what works: Llama-style, DeepSeek, Qwen2 and Mistral models.",
        "暂不支持 {path} 的模型架构“{architecture}”。",
        "“模型”页列出了可用的模型：Llama 类、DeepSeek、Qwen2 与 Mistral。",
    ),
    "model.load_failed": ErrorTexts(
        "The model “{model}” could not be loaded: {detail}",
        "Choose Verify on the Models page; if its files are whole, copy the diagnostics.",
        "无法加载模型“{model}”：{detail}",
        "请在“模型”页选择“校验”；如果文件完好，请复制诊断信息。",
    ),
    "model.vocabulary_too_small": ErrorTexts(
        "The tokenizer gives the token number {token_id}, but {model} has only {rows} rows for "
        "tokens.",
        "Use the tokenizer that came with the model, or train all weights (method full), which "
        "adds the missing rows. An adapter would leave them untrained.",
        "分词器给出了编号为 {token_id} 的 token，而 {model} 只有 {rows} 行词向量。",
        "请使用模型自带的分词器，或改用全参数训练（method full），此时会补齐缺少的行；"
        "适配器不会训练这些新行。",
    ),
    "model.template_broken": ErrorTexts(
        "The model's chat template cannot be read: {detail}",
        "Fetch the model again, or put its maker's chat_template.jinja into its folder.",
        "无法解析模型的对话模板：{detail}",
        "请重新获取模型，或将官方的 chat_template.jinja 放入模型文件夹。",
    ),
    "model.tokenizer_missing": ErrorTexts(
        "The model in {path} has no tokenizer.",
        "Add its tokenizer.json from where the model comes from.",
        "{path} 中的模型缺少分词器。",
        "请从模型的来源处补上 tokenizer.json。",
    ),
    "model.fetch_failed": ErrorTexts(
        "The model “{model}” could not be fetched: {detail}",
        "Check the network, then fetch again. What has arrived is kept.",
        "无法获取模型“{model}”：{detail}",
        "请检查网络后重试，已下载的部分会保留。",
    ),
    "model.already_exists": ErrorTexts(
        "There is already a model “{model}”.",
        "Give another name, or remove the old one first.",
        "已有名为“{model}”的模型。",
        "请换一个名称，或先移除原有模型。",
    ),
    "adapter.not_found": ErrorTexts(
        "There is no adapter in {path}.",
        "Give the adapter folder of a finished run, or the run's id.",
        "{path} 中没有适配器。",
        "请指定已完成的运行的适配器文件夹，或运行编号。",
    ),
    "adapter.mismatch": ErrorTexts(
        "The adapter in {path} does not fit this model: {detail}",
        "Use it with the base model it was trained on.",
        "{path} 中的适配器与所选模型不匹配：{detail}",
        "请与训练时使用的基础模型搭配使用。",
    ),
    "adapter.unsupported": ErrorTexts(
        "The adapter in {path} cannot be served beside the model: {reason}.",
        "Merge it into the weights: choose “merge adapter”, or export the merged model.",
        "{path} 中的适配器无法与模型并行提供服务：{reason}。",
        "请将其合并到权重中：选择“合并适配器”，或导出合并后的模型。",
    ),
    "data.not_found": ErrorTexts(
        "There is no data at {path}.",
        "Check the path, or choose the bundled sample dataset.",
        "{path} 处没有数据。",
        "请检查路径，或选择内置的示例数据集。",
    ),
    "data.empty": ErrorTexts(
        "{path} holds no samples.",
        "Put one sample on each line; the Data page shows the forms that are read.",
        "{path} 中没有样本。",
        "请每行写一个样本；“数据”页列出了支持的格式。",
    ),
    "data.not_utf8": ErrorTexts(
        "{path} is not UTF-8 text; the first bad byte is in line {line}.",
        "Save the file as UTF-8 and try again.",
        "{path} 不是 UTF-8 文本，第 {line} 行首次出现无效字节。",
        "请将文件另存为 UTF-8 后重试。",
    ),
    "data.bad_json": ErrorTexts(
        "Line {line} of {path} is not JSON: {detail}",
        "Put that line right or delete it. The other lines were not changed.",
        "{path} 第 {line} 行不是有效的 JSON：{detail}",
        "请修正或删除该行，其余各行未作改动。",
    ),
    "data.bad_columns": ErrorTexts(
        "Line {line} of {path} has fields that no known form has: {found}",
        "Use messages, instruction and output, prompt and completion, question and answer, "
        "or text.",
        "{path} 第 {line} 行的字段无法识别：{found}",
        "可用字段：messages；instruction 与 output；prompt 与 completion；"
        "question 与 answer；或 text。",
    ),
    "data.bad_sample": ErrorTexts(
        "The sample in line {line} of {path} cannot be used: {detail}",
        "Put that line right or delete it.",
        "{path} 第 {line} 行的样本无法使用：{detail}",
        "请修正或删除该行。",
    ),
    "data.unknown_format": ErrorTexts(
        "DeepDeck cannot read the format of {path}.",
        "Give JSON Lines, JSON, CSV, TSV or plain text.",
        "无法识别 {path} 的格式。",
        "请提供 JSON Lines、JSON、CSV、TSV 或纯文本文件。",
    ),
    "data.nothing_to_train": ErrorTexts(
        "No sample of {path} has an answer within {max_length_tokens} tokens.",
        "Raise the maximum length, or shorten the questions.",
        "{path} 中没有任何样本的回答落在 {max_length_tokens} 个 token 之内。",
        "请提高最大长度，或缩短提问。",
    ),
    "train.targets_unknown": ErrorTexts(
        "The model has no modules named {names}.",
        "Modules that can take an adapter: {available}",
        "模型中没有名为 {names} 的模块。",
        "可以添加适配器的模块：{available}",
    ),
    "train.warmup_too_long": ErrorTexts(
        "The warm-up of {warmup_steps} steps does not fit into {total_steps} steps.",
        "Train for more steps, or warm up for fewer.",
        "预热需要 {warmup_steps} 步，而总共只有 {total_steps} 步。",
        "请增加训练步数，或减少预热步数。",
    ),
    "train.out_of_memory": ErrorTexts(
        "The memory was not enough: {needed_gib} GiB needed, {free_gib} GiB free.",
        "Lower the batch size or the maximum length, or close programs that hold memory.",
        "内存不足：需要 {needed_gib} GiB，可用 {free_gib} GiB。",
        "请减小批大小或最大长度，或关闭占用内存的程序。",
    ),
    "train.diverged": ErrorTexts(
        "The training diverged at step {step}.",
        "Resume from the last checkpoint with a lower learning rate.",
        "训练在第 {step} 步发散。",
        "请降低学习率，从最近的检查点继续。",
    ),
    "train.needs_package": ErrorTexts(
        "“{feature}” needs the package {package}, which this runtime does not have.",
        "Switch the option off, or add the package: pip install {package}",
        "“{feature}”需要软件包 {package}，当前运行环境中没有。",
        "请关闭该选项，或安装软件包：pip install {package}",
    ),
    "train.combination": ErrorTexts(
        "These settings do not go together: {reason}",
        "Change one of the two. The Train page offers only combinations known to be right.",
        "这些设置不能同时使用：{reason}",
        "请修改其中一项。“训练”页只提供确认可用的组合。",
    ),
    "train.no_labels": ErrorTexts(
        "No token of {path} would be trained.",
        "Look at a sample in the token view: the answers must be colored. Check the roles and "
        "the chat template.",
        "{path} 中没有任何 token 会参与训练。",
        "请在 token 视图中查看样本：回答部分应当着色。请检查角色字段和对话模板。",
    ),
    "train.gpu_lost": ErrorTexts(
        "The card {device} stopped answering while it was training.",
        "Resume goes on from the last checkpoint. If it happens again, look at temperature, "
        "power supply and driver; often the computer must be restarted first.",
        "训练过程中显卡 {device} 停止响应。",
        "可从最近的检查点继续。若反复出现，请检查温度、电源和驱动；通常需要先重启电脑。",
    ),
    "checkpoint.none": ErrorTexts(
        "The run {run_id} has no checkpoint to go on from.",
        "Start it anew; it had not saved before it ended.",
        "运行 {run_id} 没有可用的检查点。",
        "该运行在结束前未曾保存，请重新开始。",
    ),
    "checkpoint.damaged": ErrorTexts(
        "The checkpoint {path} is damaged: {detail}",
        "Resume from the one before it.",
        "检查点 {path} 已损坏：{detail}",
        "请从前一个检查点继续。",
    ),
    "export.no_change": ErrorTexts(
        "Merging would leave {count} of the adapted modules as they were: {modules}",
        "The adapter learned nothing there, or too little for this precision. Train for longer, "
        "or export in fp32.",
        "合并后有 {count} 个已适配的模块没有任何变化：{modules}",
        "适配器在这些模块上没有学到内容，或变化小于所选精度。请训练更久，或以 fp32 导出。",
    ),
    "export.not_verified": ErrorTexts(
        "What was written to {path} does not load as the same model: {detail}",
        "Nothing was kept. Export again; if it happens twice, check disk and memory.",
        "写入 {path} 的内容重新加载后与原模型不一致：{detail}",
        "未保留任何文件。请重新导出；若再次出现，请检查磁盘和内存。",
    ),
    "export.exists": ErrorTexts(
        "The folder {path} is there already and is not empty.",
        "Choose another folder, or remove this one first.",
        "文件夹 {path} 已存在且不为空。",
        "请选择其他文件夹，或先将其删除。",
    ),
    "capsule.damaged": ErrorTexts(
        "{path} is not a capsule of a run, or it is damaged: {detail}",
        "Make it again on the machine of the run: deepdeck runs capsule ID",
        "{path} 不是运行的复现包，或已损坏：{detail}",
        "请在原机器上重新生成：deepdeck runs capsule ID",
    ),
    "serve.port_in_use": ErrorTexts(
        "Port {port} on {host} is taken by another program.",
        "Choose another port, or 0 for any free one.",
        "{host} 的端口 {port} 已被其他程序占用。",
        "请换一个端口，或填 0 自动选择空闲端口。",
    ),
    "serve.host_unavailable": ErrorTexts(
        "This computer cannot listen on {host}: {detail}",
        "Use 127.0.0.1, which always works on this computer alone.",
        "本机无法在 {host} 上监听：{detail}",
        "请使用 127.0.0.1，它始终可用，且仅限本机访问。",
    ),
    "serve.engine_failed": ErrorTexts(
        "The engine that answers requests failed: {detail}",
        "Start the API again. If it fails again, choose a smaller model or a shorter context.",
        "生成引擎出错：{detail}",
        "请重新启动 API。如果再次出错，请换用更小的模型或更短的上下文。",
    ),
    "serve.engine_unavailable": ErrorTexts(
        "The engine {engine} cannot serve this model here: {detail}",
        "Choose the engine “auto”, which takes one that can.",
        "引擎 {engine} 无法在此提供该模型：{detail}",
        "请将引擎设为“自动”，由程序选择可用的引擎。",
    ),
    "serve.memory_short": ErrorTexts(
        "The model needs {need_gib} GiB in {precision}, but only {budget_gib} GiB may be used.",
        "Choose a smaller precision such as 4bit, a smaller model, or close programs that use "
        "the card.",
        "该模型以 {precision} 加载需要 {need_gib} GiB，但可用显存只有 {budget_gib} GiB。",
        "请选择更低的精度（如 4bit）、更小的模型，或关闭占用显卡的程序。",
    ),
    "serve.card_busy": ErrorTexts(
        "The run “{name}” ({run_id}) uses {device} with {used_gib} GiB.",
        "Pause or stop it, share what is left of the card (`--if-busy`), or choose another device.",
        "运行“{name}”（{run_id}）正在使用 {device}，占用 {used_gib} GiB。",
        "可以暂停或停止该运行、只使用剩余显存（`--if-busy`），或换用其他设备。",
    ),
    "serve.key_invalid": ErrorTexts(
        "This API key cannot be made: {detail}",
        "Give it a name of its own and limits above zero.",
        "无法创建该 API 密钥：{detail}",
        "请使用不重复的名称，并将各项限额设为大于零的值。",
    ),
    "serve.key_unknown": ErrorTexts(
        "There is no API key {name}.",
        "`deepdeck keys list` and the Deploy page show the keys that exist.",
        "没有名为 {name} 的 API 密钥。",
        "可用 `deepdeck keys list` 或在部署页面查看现有密钥。",
    ),
    "serve.external_missing": ErrorTexts(
        "{engine} was not found at {path}.",
        "Choose the program on the Deploy page, or install it first.",
        "在 {path} 未找到 {engine}。",
        "请在部署页面选择该程序，或先完成安装。",
    ),
    "serve.external_old": ErrorTexts(
        "{engine} {found} is too old; {wanted} or newer is needed.",
        "Update it: older versions have known security holes.",
        "{engine} {found} 版本过旧，需要 {wanted} 或更高版本。",
        "请更新：旧版本存在已知的安全漏洞。",
    ),
    "serve.external_failed": ErrorTexts(
        "{engine} ended before it was ready: {detail}",
        "Its own words are in the run's log. A smaller model or another engine may help.",
        "{engine} 在就绪之前退出：{detail}",
        "其输出见该运行的日志。可尝试更小的模型或其他引擎。",
    ),
    "disk.full": ErrorTexts(
        "The disk that holds {path} is full.",
        "Free some space, then go on. What was written before is whole.",
        "{path} 所在的磁盘已满。",
        "请腾出空间后继续，此前写入的内容完好。",
    ),
    "folder.read_only": ErrorTexts(
        "DeepDeck may not write to {path}.",
        "Allow writing there, or name another folder with DEEPDECK_HOME.",
        "没有写入 {path} 的权限。",
        "请开放写入权限，或用 DEEPDECK_HOME 指定其他文件夹。",
    ),
    "file.damaged": ErrorTexts(
        "The file {path} is damaged: {detail}",
        "Restore it from a copy, or remove it so that DeepDeck makes a new one.",
        "文件 {path} 已损坏：{detail}",
        "请从备份恢复，或删除后由 DeepDeck 重新生成。",
    ),
    "run.not_found": ErrorTexts(
        "There is no run {run_id}.",
        "The Runs page lists all that are kept.",
        "找不到运行 {run_id}。",
        "“运行记录”页列出了所有保留的运行。",
    ),
    "run.exists": ErrorTexts(
        "There is already a run {run_id}.",
        "Start again; the next one gets another id.",
        "运行 {run_id} 已存在。",
        "请重新开始，新的运行会获得另一个编号。",
    ),
    "run.still_alive": ErrorTexts(
        "The run {run_id} is still at work.",
        "Stop it first.",
        "运行 {run_id} 仍在进行。",
        "请先停止该运行。",
    ),
    "run.not_alive": ErrorTexts(
        "The run {run_id} is not at work any more.",
        "Resume it, or start a new one.",
        "运行 {run_id} 已不在进行。",
        "请继续该运行，或新建一个。",
    ),
    "run.not_resumable": ErrorTexts(
        "The run {run_id} cannot be resumed: {detail}",
        "Start a new run with the same settings.",
        "运行 {run_id} 无法继续：{detail}",
        "请用相同的设置新建一个运行。",
    ),
    "worker.lost": ErrorTexts(
        "The process of the run {run_id} ended without a last word: {detail}",
        "What it had saved is there. Resume it, or copy the diagnostics.",
        "运行 {run_id} 的进程意外结束：{detail}",
        "已保存的内容仍在。请继续该运行，或复制诊断信息。",
    ),
    "worker.rank_lost": ErrorTexts(
        "Process {rank} of the {world_size} that trained together ended without a word: {detail}",
        "The others were ended too; the last checkpoint is whole. Resume the run; if it happens "
        "again, look at the memory of that process's GPU and at output.log.",
        "共同训练的 {world_size} 个进程中，第 {rank} 号进程意外结束：{detail}",
        "其余进程已一并结束，最后一个检查点完好。请继续该运行；若再次发生，"
        "请检查该进程所用 GPU 的显存以及 output.log。",
    ),
    "worker.ranks_apart": ErrorTexts(
        "The processes that trained together lost each other: {detail}",
        "The last checkpoint is whole. Look whether all machines run and reach each other, then "
        "resume the run.",
        "共同训练的进程之间失去了联系：{detail}",
        "最后一个检查点完好。请确认所有机器都在运行且网络互通，然后继续该运行。",
    ),
    "worker.start_failed": ErrorTexts(
        "The worker process could not be started: {detail}",
        "Open the Doctor page; it says what is missing.",
        "无法启动工作进程：{detail}",
        "请打开“诊断”页查看缺少什么。",
    ),
    "runtime.incomplete": ErrorTexts(
        "The Python runtime lacks modules: {missing}",
        "Start ./deepdeck once more; it installs what is missing.",
        "Python 运行环境缺少模块：{missing}",
        "请重新运行 ./deepdeck，它会补装缺少的部分。",
    ),
    "queue.item_not_found": ErrorTexts(
        "The queue has no entry {item_id}.",
        "“deepdeck queue list” shows what waits.",
        "队列中没有条目 {item_id}。",
        "用“deepdeck queue list”查看队列。",
    ),
    "power.refused": ErrorTexts(
        "The computer could not be sent to sleep or switched off: {detail}",
        "All trainings have ended and are saved. Do it by hand.",
        "无法让电脑睡眠或关机：{detail}",
        "所有训练均已结束并保存，请手动操作。",
    ),
    "input.bad_value": ErrorTexts(
        "{field} cannot be “{value}”.",
        "{detail}",
        "{field} 不能是“{value}”。",
        "{detail}",
    ),
    "input.bad_usage": ErrorTexts(
        "The command was not understood: {detail}",
        "Add --help to see what there is.",
        "无法理解该命令：{detail}",
        "加上 --help 可查看用法。",
    ),
    "internal": ErrorTexts(
        "Something went wrong inside DeepDeck: {detail}",
        "Copy the diagnostics and report them; your files were not changed by this.",
        "DeepDeck 内部出错：{detail}",
        "请复制诊断信息并反馈，您的文件未因此改动。",
    ),
}
