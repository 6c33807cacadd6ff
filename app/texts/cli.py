"""What the command line says, by id, in both languages. Errors and alarms are elsewhere."""

from __future__ import annotations

from app.texts.words import Words

CLI: dict[str, Words] = {
    # help
    "about": Words(
        "Run and train DeepSeek-family language models on your own machine. "
        "Without a command the window opens.",
        "在自己的电脑上运行和训练 DeepSeek 系列语言模型。不带命令时打开窗口。",
    ),
    "json": Words(
        "print one JSON object a line and nothing else", "每行输出一个 JSON 对象，不输出其他内容"
    ),
    "lang": Words("language of the texts", "界面语言"),
    "train": Words("fine-tune a model with LoRA", "用 LoRA 微调模型"),
    "preview": Words(
        "show samples as the model will read them, with what is learned in green",
        "查看模型实际读取的样本，训练部分以绿色显示",
    ),
    "preview.sample": Words("number of a training sample to show", "要显示的训练样本编号"),
    "preview.pick": Words("which samples, when none are named", "未指定编号时显示哪些样本"),
    "preview.count": Words("how many samples", "显示多少条样本"),
    "preview_sample": Words(
        "sample {number} ({place}): {tokens} tokens, {trained} of them learned",
        "样本 {number}（{place}）：共 {tokens} 个 token，训练其中 {trained} 个",
    ),
    "preview_counts": Words(
        "{samples} samples, {tokens} tokens, {share} of them learned; the longest sample has "
        "{longest} tokens, the limit is {limit}",
        "{samples} 条样本，{tokens} 个 token，其中 {share} 参与训练；最长样本 {longest} 个 token，"
        "上限 {limit}",
    ),
    "preview_packing": Words(
        "packed: {rows} rows an epoch, {share} full; padded: {padded} full",
        "拼接后每轮 {rows} 行，填充率 {share}；不拼接时为 {padded}",
    ),
    "preview_targets": Words("adapters on: {names}", "适配器位置：{names}"),
    "serve": Words("serve a model over a local API", "通过本地 API 提供模型服务"),
    "runs": Words("list, show, stop, resume, export or delete runs", "查看和管理运行"),
    "runs.list": Words("all runs, newest first", "列出所有运行，最新的在前"),
    "runs.show": Words("one run", "查看一个运行"),
    "runs.stop": Words("stop a run; it saves first", "停止运行（先保存）"),
    "runs.resume": Words("go on from the last checkpoint", "从最近的检查点继续"),
    "runs.pause": Words("hold a training after its step", "暂停训练（完成当前步之后）"),
    "runs.continue": Words("go on after a pause", "暂停后继续"),
    "runs.save": Words("write a checkpoint now and go on", "立即保存检查点并继续"),
    "runs.rate": Words(
        "multiply the schedule's learning rate from the next step on",
        "从下一步起把学习率乘以给定倍数",
    ),
    "runs.exclude": Words(
        "show these training samples to the model no more", "之后不再用这些样本训练"
    ),
    "runs.rollback": Words("go back to the newest healthy state", "回退到最近的正常状态"),
    "free_gpu": Words("give the card to others meanwhile", "暂停期间释放显卡"),
    "rate_factor": Words(
        "for example 0.333; 1 is the schedule itself", "例如 0.333；1 表示恢复原计划"
    ),
    "samples": Words("sample numbers, as in an alarm's batch", "样本编号，见告警对应的批次"),
    "accepted": Words("Done.", "已执行。"),
    "refused": Words("The run refused: {detail}", "运行拒绝执行：{detail}"),
    "no_answer": Words(
        "No answer within {seconds} s; the run obeys after its step.",
        "{seconds} 秒内没有应答；运行会在当前步结束后执行。",
    ),
    "runs.export": Words("write CSV files and the HTML report", "导出 CSV 文件和 HTML 报告"),
    "runs.report": Words("write the HTML report", "生成 HTML 报告"),
    "runs.merge": Words("merge a trained adapter into its model", "将训练好的适配器合并到模型"),
    "runs.adapter": Words(
        "write the adapter with its tokenizer, for use elsewhere",
        "导出适配器及其分词器，供其他工具使用",
    ),
    "runs.capsule": Words(
        "write one zip from which the run can be repeated", "生成可复现该运行的 zip 包"
    ),
    "runs.delete": Words("remove a run and all its files", "删除运行及其所有文件"),
    "models": Words("list, add, fetch or verify models", "查看、添加、获取或校验模型"),
    "models.list": Words("all models", "列出所有模型"),
    "models.add": Words("remember a model folder; nothing is copied", "登记模型文件夹（不复制）"),
    "models.fetch": Words("fetch a model of the catalog", "获取目录中的模型"),
    "models.verify": Words("check a model's files", "校验模型文件"),
    "server": Words("ask something of an API that runs", "向正在运行的 API 服务下达命令"),
    "server.self-test": Words(
        "measure what this machine can hold; the first request of a client ends it",
        "测量本机能承受的负载；一旦有客户端请求即结束",
    ),
    "server.cancel": Words("end one open request", "结束一个未完成的请求"),
    "server.load": Words("load an adapter; no request is dropped", "加载适配器；不丢弃任何请求"),
    "server.unload": Words(
        "unload an adapter when its open requests are done", "处理完未完成的请求后卸载适配器"
    ),
    "server.default": Words(
        "the model that answers requests that name none", "未指定模型的请求由哪个模型应答"
    ),
    "server.seconds": Words("how long to measure", "测量时长（秒）"),
    "server.prompt": Words("tokens of each question", "每个问题的 token 数"),
    "server.answer": Words("tokens of each answer", "每个回答的 token 数"),
    "if_busy": Words(
        "when a training is on the card: refuse; share what is left; pause it until the API ends; "
        "wait until it has ended",
        "显卡上有训练时：refuse 拒绝；share 使用剩余部分；pause 暂停训练直到 API 结束；"
        "wait 等待训练结束",
    ),
    "train_if_busy": Words(
        "when an API is on the card: refuse; share what is left, if the training fits; pause: stop "
        "the API, open requests first; wait until it has ended",
        "显卡上有 API 时：refuse 拒绝；share 若放得下则使用剩余部分；pause 停止 API（先处理完"
        "未完成的请求）；wait 等待 API 结束",
    ),
    "keys": Words("API keys for other programs and people", "供其他程序和他人使用的 API 密钥"),
    "keys.list": Words("the keys that exist, and what they did", "列出现有密钥及其使用情况"),
    "keys.add": Words(
        "make a key; it is shown once, and servers that run accept it at once",
        "创建密钥；密钥只显示一次，正在运行的服务立即生效",
    ),
    "keys.revoke": Words(
        "take a key away; servers that run refuse it within a second",
        "吊销密钥；正在运行的服务会在一秒内拒绝它",
    ),
    "keys.days": Words("until the key ends; never without it", "有效天数；不填则永不过期"),
    "keys.limit": Words("the most; 0: no limit", "上限；0 表示不限"),
    "keys.models": Words(
        "public model names that the key may ask for; all without it",
        "该密钥可使用的模型名称；不填则全部可用",
    ),
    "queue": Words("trainings that wait for a card", "等待显卡的训练队列"),
    "queue.list": Words("what waits, runs and has ended", "列出等待、进行中和已结束的训练"),
    "queue.work": Words(
        "start what waits, one training a card, until nothing is left; not needed while the "
        "window is open",
        "逐个启动排队的训练（每张显卡一个），直到队列清空；窗口打开时无需使用",
    ),
    "queue.hold": Words("start nothing new", "暂停队列，不再启动新训练"),
    "queue.release": Words("start again", "恢复队列"),
    "queue.clear": Words("forget what has ended", "清除已结束的条目"),
    "queue.remove": Words("take an entry out", "移除一个条目"),
    "queue.up": Words("move an entry up", "上移一个条目"),
    "queue.down": Words("move an entry down", "下移一个条目"),
    "queue.resume": Words(
        "let a stopped run go on when its card is free", "让已停止的运行排队继续"
    ),
    "queue.after": Words("what to do when all has ended", "全部结束后的操作"),
    "set_on_resume": Words(
        "go on with another setting that does not change what is learned, for example "
        "gradient_checkpointing=full; may be repeated",
        "以不影响学习内容的其他设置继续，例如 gradient_checkpointing=full；可重复使用",
    ),
    "to_queue": Words("wait in the queue instead of starting now", "加入队列，而不是立即启动"),
    "doctor": Words("check this machine", "检查本机环境"),
    "demo": Words("play the main job from start to end", "自动演示完整流程"),
    "model": Words("model id, folder or GGUF file", "模型 ID、文件夹或 GGUF 文件"),
    "data": Words("dataset folder or file", "数据集文件夹或文件"),
    "steps": Words("optimizer steps", "优化步数"),
    "name": Words("what you call it", "名称"),
    "set": Words(
        "any other setting, for example lora.r=8; may be repeated",
        "其他任意设置，例如 lora.r=8；可重复使用",
    ),
    "spec": Words(
        "JSON file with settings; the other options win", "含设置的 JSON 文件；其他选项优先"
    ),
    "capsule": Words(
        "capsule of a run (runs capsule): begin it again as a new run",
        "运行的复现包（runs capsule）：以相同设置新建运行",
    ),
    "merge_into": Words(
        "which weights to merge into: the model's own (original), or those a 4-bit model stands "
        "for (dequantized)",
        "合并到哪种权重：模型原始权重（original）或 4 位模型反量化后的权重（dequantized）",
    ),
    "dtype": Words("precision of the written weights", "写出权重的精度"),
    "detach": Words("start it and leave it running", "启动后即返回，任务继续在后台运行"),
    "adapter": Words("adapter folder, or id of a training run", "适配器文件夹或训练运行的 ID"),
    "host": Words("address to listen on", "监听地址"),
    "port": Words("0 takes a free one", "0 表示自动选择空闲端口"),
    "no_save": Words("do not write a checkpoint first", "停止前不保存检查点"),
    "now": Words("end it at once, without saving", "立即结束，不保存"),
    "folder": Words("where to write", "输出文件夹"),
    "demo.out": Words(
        "where pictures and report go (demo-output)", "图片和报告的存放位置（demo-output）"
    ),
    "headless": Words("without a window; prints progress", "不打开窗口，仅输出进度"),
    # what is said
    "started": Words("Run {run_id} has started.", "运行 {run_id} 已启动。"),
    "plan": Words(
        "{total_steps} steps on {train_samples} samples; {trainable_parameters:,} of "
        "{total_parameters:,} parameters are trained on {device} in {dtype}.",
        "共 {total_steps} 步、{train_samples} 个样本；在 {device} 上以 {dtype} 训练 "
        "{total_parameters:,} 个参数中的 {trainable_parameters:,} 个。",
    ),
    "step": Words(
        "step {step}/{total}  loss {loss:.4f}  grad norm {grad_norm:.3g}  "
        "learning rate {learning_rate:.2e}  {tokens_per_second:,.0f} tokens/s",
        "步 {step}/{total}  损失 {loss:.4f}  梯度范数 {grad_norm:.3g}  "
        "学习率 {learning_rate:.2e}  {tokens_per_second:,.0f} token/秒",
    ),
    "eval": Words(
        "evaluation at step {step}, {split}: loss {loss:.4f}",
        "第 {step} 步评估（{split}）：损失 {loss:.4f}",
    ),
    "dry_run": Words(
        "try-out: {rows} x {longest_tokens} tokens, peak {peak_memory_gib:.2f} GiB, "
        "{step_time_s:.2g} s a step, about {total} in all",
        "试运行：{rows} × {longest_tokens} token，峰值 {peak_memory_gib:.2f} GiB，"
        "每步 {step_time_s:.2g} 秒，总计约 {total}",
    ),
    "ran_out": Words(
        "Memory ran out at step {step}: {allocated_gib:.2f} of {limit_gib:.2f} GiB were in use.",
        "第 {step} 步内存不足：已使用 {allocated_gib:.2f} GiB，上限 {limit_gib:.2f} GiB。",
    ),
    "went_on_with": Words("Going on with: {measure}", "继续运行，措施：{measure}"),
    "would_help": Words("What would help, gentlest first:", "可采取的措施（由轻到重）："),
    "rung": Words("saves about {gib:.2f} GiB", "约节省 {gib:.2f} GiB"),
    "apply_by": Words(
        "Apply one with: deepdeck runs resume {run_id} --set {assignments}",
        "应用其中一项：deepdeck runs resume {run_id} --set {assignments}",
    ),
    "checkpoint": Words("checkpoint saved at step {step}", "第 {step} 步已保存检查点"),
    "download": Words("{file}: {done} MiB of {total} MiB", "{file}：{done} / {total} MiB"),
    "stopping": Words(
        "Stopping and saving. Press Ctrl-C again to end it at once.",
        "正在停止并保存。再次按 Ctrl-C 立即结束。",
    ),
    "killing": Words("Ending it at once.", "正在立即结束。"),
    "draining": Words("Finishing open requests …", "正在处理未完成的请求……"),
    "outcome": Words("{run_id}: {status}. {reason}", "{run_id}：{status}。{reason}"),
    "adapter_at": Words("Adapter: {path}", "适配器：{path}"),
    "serve_hint": Words(
        "Serve it:  deepdeck serve --model {model} --adapter {run_id}",
        "启动服务：deepdeck serve --model {model} --adapter {run_id}",
    ),
    "model_at": Words(
        "Model: {path}\nServe it:  deepdeck serve --model {path}",
        "模型：{path}\n启动服务：deepdeck serve --model {path}",
    ),
    "ready": Words("Ready at {url}   (Ctrl-C stops it)", "服务已就绪：{url}   （按 Ctrl-C 停止）"),
    "key": Words("API key: {api_key}", "API 密钥：{api_key}"),
    "curl": Words("Try:  {line}", "试试：{line}"),
    "key_made": Words(
        "The key {name}, shown this once:  {api_key}", "密钥 {name}（仅显示这一次）：{api_key}"
    ),
    "key_revoked": Words("The key {name} is accepted no more.", "密钥 {name} 已吊销。"),
    "keys_none": Words("There are no further keys.", "没有其他密钥。"),
    "key_expired": Words("expired", "已过期"),
    "key_until": Words("until {date}", "有效期至 {date}"),
    "key_requests_per_minute": Words("{number} requests/min", "每分钟 {number} 次请求"),
    "key_tokens_per_minute": Words("{number} tokens/min", "每分钟 {number} 个 token"),
    "key_tokens_per_day": Words("{number} tokens/day", "每天 {number} 个 token"),
    "key_used": Words(
        "last used {date}, {tokens} tokens today", "最近使用 {date}，今天 {tokens} 个 token"
    ),
    "key_unused": Words("never used", "从未使用"),
    "processor_shared": Words(
        "{name} computes on this processor too: both get slower.",
        "{name} 也在使用这颗处理器：两者都会变慢。",
    ),
    "card_stopping": Words(
        "Stopping the API {name}; its open requests are finished first.",
        "正在停止 API {name}；会先处理完未完成的请求。",
    ),
    "ready_how": Words("It runs on {how}. {reasons}", "运行方式：{how}。{reasons}"),
    "card_shared": Words(
        "{name} is training on this card: conversations are limited to {context} tokens and "
        "{batch} at a time.",
        "{name} 正在这张显卡上训练：对话限制为 {context} 个 token，同时最多 {batch} 个。",
    ),
    "card_pausing": Words(
        "Pausing {name}; it goes on when the API ends.", "正在暂停 {name}；API 结束后会继续训练。"
    ),
    "card_waiting": Words(
        "Waiting until {name} has ended. Ctrl-C gives up.", "正在等待 {name} 结束。按 Ctrl-C 放弃。"
    ),
    "card_paused_stays": Words(
        "{name} stays paused:  deepdeck runs continue {run_id}",
        "{name} 保持暂停：deepdeck runs continue {run_id}",
    ),
    "self_test_burst": Words(
        "All at once: {answered} answered, {refused} refused, {rate} requests/s, P99 {p99} ms",
        "同时发出：回答 {answered} 个，拒绝 {refused} 个，每秒 {rate} 个请求，P99 {p99} 毫秒",
    ),
    "self_test_rate": Words(
        "{rate} requests/s: {answered} answered, {refused} refused, P99 {p99} ms",
        "每秒 {rate} 个请求：回答 {answered} 个，拒绝 {refused} 个，P99 {p99} 毫秒",
    ),
    "self_test_done": Words(
        "This machine holds {rate} requests a second with {prompt} tokens in, {answer} out.",
        "本机每秒可承受 {rate} 个请求（输入 {prompt}、输出 {answer} token）。",
    ),
    "self_test_physics": Words(
        "Its bandwidth and arithmetic would allow {physics}.",
        "按显存带宽和算力计算，理论上限为 {physics}。",
    ),
    "self_test_failed": Words("The test ended early: {detail}", "自测提前结束：{detail}"),
    "queued": Words(
        "{name} waits in the queue as {item_id}.", "{name} 已加入队列，条目 {item_id}。"
    ),
    "queue_empty": Words("The queue is empty.", "队列为空。"),
    "queue_held": Words("The queue is held: nothing new starts.", "队列已暂停，不会启动新训练。"),
    "queue_waiting": Words("waiting", "等待"),
    "queue_started": Words("started", "进行中"),
    "queue_ended": Words("ended", "已结束"),
    "queue_failed": Words("failed", "失败"),
    "after_sleep": Words(
        "When all has ended the computer goes to sleep.", "全部结束后电脑将进入睡眠。"
    ),
    "after_shut_down": Words(
        "When all has ended the computer is switched off.", "全部结束后电脑将关机。"
    ),
    "after_grace": Words(
        "In {seconds} seconds. Ctrl-C keeps it on.", "将在 {seconds} 秒后执行，按 Ctrl-C 取消。"
    ),
    "no_runs": Words("There are no runs yet.", "还没有运行。"),
    "exported": Words("Written: {path}", "已写入：{path}"),
    "merged_kl": Words(
        "Against what was trained, merged into {base}: KL {kl} nats a token, same next token "
        "{top1} %",
        "与训练结果相比，合并到{base}：每 token KL 散度 {kl}，首选 token 一致率 {top1}%",
    ),
    "base_original": Words("the original weights", "原始权重"),
    "base_dequantized": Words("the dequantized weights", "反量化权重"),
    "capsule_differs": Words("! not as in the capsule: {text}", "! 与复现包不一致：{text}"),
    "deleted": Words("{run_id} is removed.", "{run_id} 已删除。"),
    "added": Words("{id} is in the library.", "{id} 已加入模型库。"),
    "whole": Words("{id}: every file is whole.", "{id}：所有文件完好。"),
    "not_fetched": Words("not fetched", "未获取"),
    "in_order": Words("Everything is in order.", "一切正常。"),
    "log_tail": Words("Last lines of its output:", "最后的输出："),
    "steps_of": Words("step {step} of {total}", "第 {step} 步，共 {total} 步"),
}
"""Texts of the command line."""
