<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" language="zh_CN" sourcelanguage="en_US">
    <context>
        <name>AlarmsCard</name>
        <message>
            <source>None so far. Loss, gradients and progress are watched.</source>
            <translation>暂无告警。损失、梯度和进度均在监视中。</translation>
        </message>
        <message>
            <source>Alarms; Enter shows the step on the plots</source>
            <translation>告警；按 Enter 在图中显示该步</translation>
        </message>
        <message>
            <source>Alarms ({count})</source>
            <translation>告警（{count}）</translation>
        </message>
        <message>
            <source>Alarms</source>
            <translation>告警</translation>
        </message>
        <message>
            <source>Show step {step}</source>
            <translation>查看第 {step} 步</translation>
        </message>
        <message>
            <source>Step {step}: {title}</source>
            <translation>第 {step} 步：{title}</translation>
        </message>
    </context>
    <context>
        <name>ComparePlot</name>
        <message>
            <source>Loss</source>
            <translation>损失</translation>
        </message>
        <message>
            <source>Eval loss</source>
            <translation>评估损失</translation>
        </message>
        <message>
            <source>Gradient norm</source>
            <translation>梯度范数</translation>
        </message>
        <message>
            <source>Learning rate</source>
            <translation>学习率</translation>
        </message>
        <message>
            <source>Memory</source>
            <translation>内存</translation>
        </message>
        <message>
            <source>Speed</source>
            <translation>速度</translation>
        </message>
        <message>
            <source>Compare</source>
            <translation>对比</translation>
        </message>
        <message>
            <source>No curves to show</source>
            <translation>没有可显示的曲线</translation>
        </message>
        <message>
            <source>Choose a training run above, or several to compare them.</source>
            <translation>请在上方选择一个训练运行，或选择多个进行对比。</translation>
        </message>
        <message>
            <source>Runs in the plot</source>
            <translation>图中的运行</translation>
        </message>
        <message>
            <source>Runs in the plot; Space hides and shows one</source>
            <translation>图中的运行；按空格键隐藏或显示</translation>
        </message>
    </context>
    <context>
        <name>MetricPlot</name>
        <message>
            <source>No values yet</source>
            <translation>暂无数据</translation>
        </message>
    </context>
    <context>
        <name>MetricTable</name>
        <message>
            <source>All steps as a table</source>
            <translation>全部步的表格</translation>
        </message>
        <message>
            <source>Step</source>
            <translation>步</translation>
        </message>
        <message>
            <source>Epoch</source>
            <translation>轮次</translation>
        </message>
        <message>
            <source>Time</source>
            <translation>时间</translation>
        </message>
        <message>
            <source>Loss</source>
            <translation>损失</translation>
        </message>
        <message>
            <source>Eval loss</source>
            <translation>评估损失</translation>
        </message>
        <message>
            <source>Grad. norm</source>
            <translation>梯度范数</translation>
        </message>
        <message>
            <source>Learn. rate</source>
            <translation>学习率</translation>
        </message>
        <message>
            <source>Memory</source>
            <translation>内存</translation>
        </message>
        <message>
            <source>tok/s</source>
            <translation>token/s</translation>
        </message>
    </context>
    <context>
        <name>PlanCard</name>
        <message>
            <source>What will happen</source>
            <translation>训练计划</translation>
        </message>
        <message>
            <source>Start training</source>
            <translation>开始训练</translation>
        </message>
    </context>
    <context>
        <name>PlotPanel</name>
        <message>
            <source>X axis</source>
            <translation>横轴</translation>
        </message>
        <message>
            <source>Step</source>
            <translation>步</translation>
        </message>
        <message>
            <source>Epoch</source>
            <translation>轮次</translation>
        </message>
        <message>
            <source>Time</source>
            <translation>时间</translation>
        </message>
        <message>
            <source>Smoothing</source>
            <translation>平滑</translation>
        </message>
        <message>
            <source>Debiased moving average as in TensorBoard; 0 is off (key S)</source>
            <translation>与 TensorBoard 相同的去偏移动平均；0 为关闭（快捷键 S）</translation>
        </message>
        <message>
            <source>Follow</source>
            <translation>跟随</translation>
        </message>
        <message>
            <source>Keep the newest steps in view (Space)</source>
            <translation>始终显示最新的步（空格键）</translation>
        </message>
        <message>
            <source>Table</source>
            <translation>表格</translation>
        </message>
        <message>
            <source>The same data as a table</source>
            <translation>以表格显示相同数据</translation>
        </message>
        <message>
            <source>Export</source>
            <translation>导出</translation>
        </message>
        <message>
            <source>Save pictures or all data</source>
            <translation>保存图片或全部数据</translation>
        </message>
        <message>
            <source>off</source>
            <translation>关</translation>
        </message>
        <message>
            <source>Show everything</source>
            <translation>显示全部</translation>
        </message>
        <message>
            <source>Follow the newest step</source>
            <translation>跟随最新的步</translation>
        </message>
        <message>
            <source>Logarithmic y axis</source>
            <translation>纵轴对数刻度</translation>
        </message>
        <message>
            <source>Logarithmic x axis</source>
            <translation>横轴对数刻度</translation>
        </message>
        <message>
            <source>Save picture (PNG, double size)</source>
            <translation>保存图片（PNG，两倍大小）</translation>
        </message>
        <message>
            <source>Save drawing (SVG)</source>
            <translation>保存矢量图（SVG）</translation>
        </message>
        <message>
            <source>Save all data (CSV)</source>
            <translation>保存全部数据（CSV）</translation>
        </message>
    </context>
    <context>
        <name>Readout</name>
        <message>
            <source>raw</source>
            <translation>原始</translation>
        </message>
        <message>
            <source>smoothed</source>
            <translation>平滑</translation>
        </message>
        <message>
            <source>{title}: no values yet.</source>
            <translation>{title}：暂无数据。</translation>
        </message>
        <message>
            <source>{title} {value} {unit} at step {step}, {trend}, {alarms}.</source>
            <translation>第 {step} 步{title} {value} {unit}，{trend}，{alarms}。</translation>
        </message>
        <message>
            <source>just begun</source>
            <translation>刚开始</translation>
        </message>
        <message>
            <source>steady</source>
            <translation>平稳</translation>
        </message>
        <message>
            <source>rising</source>
            <translation>上升</translation>
        </message>
        <message>
            <source>falling</source>
            <translation>下降</translation>
        </message>
        <message>
            <source>no alarms</source>
            <translation>无告警</translation>
        </message>
        <message>
            <source>1 alarm</source>
            <translation>1 个告警</translation>
        </message>
        <message>
            <source>{n} alarms</source>
            <translation>{n} 个告警</translation>
        </message>
    </context>
    <context>
        <name>ResultCard</name>
        <message>
            <source>Deploy this adapter</source>
            <translation>部署此适配器</translation>
        </message>
        <message>
            <source>Chat with it</source>
            <translation>与它对话</translation>
        </message>
        <message>
            <source>Open the report</source>
            <translation>打开报告</translation>
        </message>
        <message>
            <source>Export all data</source>
            <translation>导出全部数据</translation>
        </message>
        <message>
            <source>Open the folder</source>
            <translation>打开文件夹</translation>
        </message>
        <message>
            <source>Training is done</source>
            <translation>训练完成</translation>
        </message>
        <message>
            <source>Training ended at step {step}</source>
            <translation>训练在第 {step} 步结束</translation>
        </message>
        <message>
            <source>{steps} steps in {time}.</source>
            <translation>共 {steps} 步，用时 {time}。</translation>
        </message>
        <message>
            <source>The adapter is saved.</source>
            <translation>适配器已保存。</translation>
        </message>
        <message>
            <source>There is no adapter yet.</source>
            <translation>尚无适配器。</translation>
        </message>
        <message>
            <source>Eval loss {before} → {after}</source>
            <translation>评估损失 {before} → {after}</translation>
        </message>
    </context>
    <context>
        <name>RunsPage</name>
        <message>
            <source>{count} runs chosen</source>
            <translation>已选 {count} 个运行</translation>
        </message>
        <message>
            <source>Details</source>
            <translation>详情</translation>
        </message>
        <message>
            <source>Problem</source>
            <translation>问题</translation>
        </message>
        <message>
            <source>Run</source>
            <translation>运行</translation>
        </message>
        <message>
            <source>Status</source>
            <translation>状态</translation>
        </message>
        <message>
            <source>Model</source>
            <translation>模型</translation>
        </message>
        <message>
            <source>Data</source>
            <translation>数据</translation>
        </message>
        <message>
            <source>Loss</source>
            <translation>损失</translation>
        </message>
        <message>
            <source>Eval loss</source>
            <translation>评估损失</translation>
        </message>
        <message>
            <source>Alarms</source>
            <translation>告警</translation>
        </message>
        <message>
            <source>Adapter</source>
            <translation>适配器</translation>
        </message>
        <message>
            <source>saved</source>
            <translation>已保存</translation>
        </message>
        <message>
            <source>Open the folder</source>
            <translation>打开文件夹</translation>
        </message>
        <message>
            <source>Delete</source>
            <translation>删除</translation>
        </message>
        <message>
            <source>Delete this run for good?</source>
            <translation>要永久删除此运行吗？</translation>
        </message>
        <message>
            <source>Delete {count} runs for good?</source>
            <translation>要永久删除这 {count} 个运行吗？</translation>
        </message>
        <message>
            <source>Adapters, checkpoints and curves go with them. This cannot be undone.</source>
            <translation>适配器、检查点和曲线将一并删除，且无法恢复。</translation>
        </message>
        <message>
            <source>Keep</source>
            <translation>保留</translation>
        </message>
        <message>
            <source>Everything that was started, from any window or script.</source>
            <translation>从任意窗口或脚本启动的所有运行。</translation>
        </message>
        <message>
            <source>{shown} of {total} runs</source>
            <translation>{shown} / {total} 个运行</translation>
        </message>
        <message>
            <source>1 run</source>
            <translation>1 个运行</translation>
        </message>
        <message>
            <source>{n} runs</source>
            <translation>{n} 个运行</translation>
        </message>
        <message>
            <source>{n} alive</source>
            <translation>{n} 个正在进行</translation>
        </message>
        <message>
            <source>select several to compare them</source>
            <translation>多选即可对比</translation>
        </message>
        <message>
            <source>Runs</source>
            <translation>运行记录</translation>
        </message>
        <message>
            <source>Open</source>
            <translation>打开</translation>
        </message>
        <message>
            <source>Resume</source>
            <translation>继续</translation>
        </message>
        <message>
            <source>Export</source>
            <translation>导出</translation>
        </message>
        <message>
            <source>All data as CSV</source>
            <translation>将全部数据存为 CSV</translation>
        </message>
        <message>
            <source>Report</source>
            <translation>报告</translation>
        </message>
        <message>
            <source>Stop and save</source>
            <translation>停止并保存</translation>
        </message>
        <message>
            <source>Stop</source>
            <translation>停止</translation>
        </message>
        <message>
            <source>Search name, model, data</source>
            <translation>搜索名称、模型、数据</translation>
        </message>
        <message>
            <source>Search runs</source>
            <translation>搜索运行</translation>
        </message>
        <message>
            <source>All kinds</source>
            <translation>全部类型</translation>
        </message>
        <message>
            <source>Training</source>
            <translation>训练</translation>
        </message>
        <message>
            <source>API</source>
            <translation>API</translation>
        </message>
        <message>
            <source>Fetch</source>
            <translation>获取模型</translation>
        </message>
        <message>
            <source>Kind of run</source>
            <translation>运行类型</translation>
        </message>
        <message>
            <source>All runs</source>
            <translation>全部运行</translation>
        </message>
        <message>
            <source>No runs yet</source>
            <translation>暂无运行</translation>
        </message>
        <message>
            <source>Every training, server and download will be listed here with its curves.</source>
            <translation>所有训练、服务和下载都会连同曲线列在这里。</translation>
        </message>
        <message>
            <source>Train a model</source>
            <translation>训练模型</translation>
        </message>
        <message>
            <source>Name</source>
            <translation>名称</translation>
        </message>
        <message>
            <source>Saved {name}</source>
            <translation>已保存 {name}</translation>
        </message>
        <message>
            <source>Kind</source>
            <translation>类型</translation>
        </message>
        <message>
            <source>Steps</source>
            <translation>步数</translation>
        </message>
        <message>
            <source>Created</source>
            <translation>创建时间</translation>
        </message>
    </context>
    <context>
        <name>SamplesCard</name>
        <message>
            <source>Answers</source>
            <translation>回答对比</translation>
        </message>
        <message>
            <source>After step {step}</source>
            <translation>第 {step} 步之后</translation>
        </message>
        <message>
            <source>Before training</source>
            <translation>训练前</translation>
        </message>
        <message>
            <source>(no answer)</source>
            <translation>（无回答）</translation>
        </message>
    </context>
    <context>
        <name>TrainForm</name>
        <message>
            <source>Choose data</source>
            <translation>选择数据</translation>
        </message>
        <message>
            <source>{count} {split}</source>
            <translation>{split} {count}</translation>
        </message>
        <message>
            <source>Samples: {list}</source>
            <translation>样本：{list}</translation>
        </message>
        <message>
            <source>What to train</source>
            <translation>训练什么</translation>
        </message>
        <message>
            <source>How to train</source>
            <translation>怎样训练</translation>
        </message>
        <message>
            <source>Advanced</source>
            <translation>高级</translation>
        </message>
        <message>
            <source>More models…</source>
            <translation>更多模型…</translation>
        </message>
        <message>
            <source>Choose folder…</source>
            <translation>选择文件夹…</translation>
        </message>
        <message>
            <source>Choose file…</source>
            <translation>选择文件…</translation>
        </message>
        <message>
            <source>Advanced settings</source>
            <translation>高级设置</translation>
        </message>
        <message>
            <source>steps</source>
            <translation>步</translation>
        </message>
        <message>
            <source>passes over the data</source>
            <translation>遍历数据的遍数</translation>
        </message>
        <message>
            <source>Unit of the training length</source>
            <translation>训练长度的单位</translation>
        </message>
        <message>
            <source>Made from model and data when empty</source>
            <translation>留空则由模型和数据名组成</translation>
        </message>
        <message>
            <source>One question a line, at most {count}</source>
            <translation>每行一个问题，最多 {count} 个</translation>
        </message>
    </context>
    <context>
        <name>TrainLive</name>
        <message>
            <source>training</source>
            <translation>训练</translation>
        </message>
        <message>
            <source>norm</source>
            <translation>范数</translation>
        </message>
        <message>
            <source>rate</source>
            <translation>学习率</translation>
        </message>
        <message>
            <source>eval {split}</source>
            <translation>评估·{split}</translation>
        </message>
        <message>
            <source>card {index}</source>
            <translation>显卡 {index}</translation>
        </message>
        <message>
            <source>this run</source>
            <translation>本次运行</translation>
        </message>
        <message>
            <source>clip {value}</source>
            <translation>裁剪 {value}</translation>
        </message>
        <message>
            <source>card {gib} GiB</source>
            <translation>显卡 {gib} GiB</translation>
        </message>
        <message>
            <source>machine {gib} GiB</source>
            <translation>本机 {gib} GiB</translation>
        </message>
        <message>
            <source>Remaining</source>
            <translation>剩余</translation>
        </message>
        <message>
            <source>Time taken</source>
            <translation>用时</translation>
        </message>
        <message>
            <source>{n} tok/s</source>
            <translation>{n} token/s</translation>
        </message>
        <message>
            <source>paused</source>
            <translation>已暂停</translation>
        </message>
        <message>
            <source>estimating…</source>
            <translation>估算中…</translation>
        </message>
        <message>
            <source>{n} s ± {spread}</source>
            <translation>{n} 秒 ± {spread}</translation>
        </message>
        <message>
            <source>{n} min ± {spread}</source>
            <translation>{n} 分 ± {spread}</translation>
        </message>
        <message>
            <source>{n} h ± {spread}</source>
            <translation>{n} 小时 ± {spread}</translation>
        </message>
        <message>
            <source>GPU memory</source>
            <translation>显存</translation>
        </message>
        <message>
            <source>Memory of the run</source>
            <translation>运行内存</translation>
        </message>
        <message>
            <source>{reason} The plot shows the memory of the training process.</source>
            <translation>{reason}图中为训练进程占用的内存。</translation>
        </message>
        <message>
            <source>Step</source>
            <translation>步</translation>
        </message>
        <message>
            <source>Epoch</source>
            <translation>轮次</translation>
        </message>
        <message>
            <source>Speed</source>
            <translation>速度</translation>
        </message>
        <message>
            <source>Loss</source>
            <translation>损失</translation>
        </message>
        <message>
            <source>Eval loss</source>
            <translation>评估损失</translation>
        </message>
        <message>
            <source>Progress of the run</source>
            <translation>运行进度</translation>
        </message>
        <message>
            <source>Gradient norm</source>
            <translation>梯度范数</translation>
        </message>
        <message>
            <source>Learning rate</source>
            <translation>学习率</translation>
        </message>
    </context>
    <context>
        <name>TrainPage</name>
        <message>
            <source>New run</source>
            <translation>新建训练</translation>
        </message>
        <message>
            <source>Resume</source>
            <translation>继续</translation>
        </message>
        <message>
            <source>Go on from the newest checkpoint, in the same run</source>
            <translation>从最新的检查点继续同一运行</translation>
        </message>
        <message>
            <source>Save now</source>
            <translation>立即保存</translation>
        </message>
        <message>
            <source>Write a checkpoint and go on training</source>
            <translation>写入检查点后继续训练</translation>
        </message>
        <message>
            <source>Train</source>
            <translation>训练</translation>
        </message>
        <message>
            <source>Fine-tune a model on your own data with LoRA.</source>
            <translation>用 LoRA 在自己的数据上微调模型。</translation>
        </message>
        <message>
            <source>Continue</source>
            <translation>继续</translation>
        </message>
        <message>
            <source>Pause</source>
            <translation>暂停</translation>
        </message>
        <message>
            <source>Stop faster</source>
            <translation>尽快停止</translation>
        </message>
        <message>
            <source>Stop and save</source>
            <translation>停止并保存</translation>
        </message>
        <message>
            <source>Do not wait for the step to end</source>
            <translation>不再等待当前步结束</translation>
        </message>
        <message>
            <source>Finish the step, save a checkpoint and the adapter, then end</source>
            <translation>完成当前步，保存检查点和适配器后结束</translation>
        </message>
        <message>
            <source>{count} samples</source>
            <translation>{count} 条样本</translation>
        </message>
        <message>
            <source>started {clock}</source>
            <translation>{clock} 开始</translation>
        </message>
        <message>
            <source>goes on when this window is closed</source>
            <translation>关闭窗口后继续运行</translation>
        </message>
        <message>
            <source>Checking the model and the data …</source>
            <translation>正在检查模型和数据……</translation>
        </message>
        <message>
            <source>Saved {name}</source>
            <translation>已保存 {name}</translation>
        </message>
        <message>
            <source>Open the folder</source>
            <translation>打开文件夹</translation>
        </message>
    </context>
    <context>
        <name>TrainTexts</name>
        <message>
            <source>&amp;Model</source>
            <translation>模型(&amp;M)</translation>
        </message>
        <message>
            <source>The base model; it stays as it is, an adapter is trained beside it.</source>
            <translation>基础模型本身不变，训练的是附加的适配器。</translation>
        </message>
        <message>
            <source>&amp;Data</source>
            <translation>数据(&amp;D)</translation>
        </message>
        <message>
            <source>A dataset folder or a JSONL, JSON, CSV or text file.</source>
            <translation>数据集文件夹，或 JSONL、JSON、CSV、文本文件。</translation>
        </message>
        <message>
            <source>&amp;Preset</source>
            <translation>预设(&amp;P)</translation>
        </message>
        <message>
            <source>Values to begin with.</source>
            <translation>一组初始值。</translation>
        </message>
        <message>
            <source>&amp;Length</source>
            <translation>长度(&amp;L)</translation>
        </message>
        <message>
            <source>How long to train.</source>
            <translation>训练多久。</translation>
        </message>
        <message>
            <source>&amp;Name</source>
            <translation>名称(&amp;N)</translation>
        </message>
        <message>
            <source>What this run is called in the list.</source>
            <translation>此运行在列表中的名称。</translation>
        </message>
        <message>
            <source>&amp;Questions to compare</source>
            <translation>对比问题(&amp;Q)</translation>
        </message>
        <message>
            <source>Answered before the first and after the last step.</source>
            <translation>在第一步之前和最后一步之后各回答一次。</translation>
        </message>
        <message>
            <source>Peak learning rate</source>
            <translation>峰值学习率</translation>
        </message>
        <message>
            <source>Reached after the warm-up; lower it when the loss jumps.</source>
            <translation>预热结束时达到；若损失跳动，请调低。</translation>
        </message>
        <message>
            <source>Batch size</source>
            <translation>批大小</translation>
        </message>
        <message>
            <source>Samples that go through the model together; lower it to save memory.</source>
            <translation>同时通过模型的样本数；调低可节省内存。</translation>
        </message>
        <message>
            <source>samples</source>
            <translation>条</translation>
        </message>
        <message>
            <source>Gradient accumulation</source>
            <translation>梯度累积</translation>
        </message>
        <message>
            <source>Batches that make one step: a larger batch without more memory.</source>
            <translation>多少批合成一步：批次更大而不增加内存。</translation>
        </message>
        <message>
            <source>batches</source>
            <translation>批</translation>
        </message>
        <message>
            <source>Maximum length</source>
            <translation>最大长度</translation>
        </message>
        <message>
            <source>Longer samples are cut at the end.</source>
            <translation>更长的样本会从末尾截断。</translation>
        </message>
        <message>
            <source>tokens</source>
            <translation>token</translation>
        </message>
        <message>
            <source>LoRA rank</source>
            <translation>LoRA 秩</translation>
        </message>
        <message>
            <source>Size of the adapter: more can learn more and needs more memory.</source>
            <translation>适配器的大小：越大学得越多，也更占内存。</translation>
        </message>
        <message>
            <source>LoRA alpha</source>
            <translation>LoRA alpha</translation>
        </message>
        <message>
            <source>The update is scaled by alpha / rank.</source>
            <translation>更新量按 alpha / 秩 缩放。</translation>
        </message>
        <message>
            <source>LoRA dropout</source>
            <translation>LoRA dropout</translation>
        </message>
        <message>
            <source>Share of inputs dropped, against learning by heart.</source>
            <translation>随机丢弃的输入比例，防止死记硬背。</translation>
        </message>
        <message>
            <source>Target modules</source>
            <translation>目标模块</translation>
        </message>
        <message>
            <source>Layers that get an adapter, separated by commas, or all-linear.</source>
            <translation>加适配器的层，以逗号分隔，或 all-linear。</translation>
        </message>
        <message>
            <source>Warm-up</source>
            <translation>预热</translation>
        </message>
        <message>
            <source>Share of the steps in which the rate rises to its peak, 0 to 1.</source>
            <translation>学习率升至峰值所占的步数比例，0 到 1。</translation>
        </message>
        <message>
            <source>Final learning rate</source>
            <translation>最终学习率</translation>
        </message>
        <message>
            <source>The rate ends at this share of its peak, 0 to 1.</source>
            <translation>结束时学习率与峰值之比，0 到 1。</translation>
        </message>
        <message>
            <source>Weight decay</source>
            <translation>权重衰减</translation>
        </message>
        <message>
            <source>Of AdamW.</source>
            <translation>AdamW 的权重衰减。</translation>
        </message>
        <message>
            <source>Clip gradient norm</source>
            <translation>梯度裁剪</translation>
        </message>
        <message>
            <source>Larger gradients are scaled down to this norm.</source>
            <translation>更大的梯度会缩小到此范数。</translation>
        </message>
        <message>
            <source>Precision</source>
            <translation>精度</translation>
        </message>
        <message>
            <source>auto takes bf16 on a card that has it, else fp32.</source>
            <translation>auto：显卡支持时用 bf16，否则用 fp32。</translation>
        </message>
        <message>
            <source>Device</source>
            <translation>设备</translation>
        </message>
        <message>
            <source>auto, cpu, cuda or cuda:1.</source>
            <translation>auto、cpu、cuda 或 cuda:1。</translation>
        </message>
        <message>
            <source>Seed</source>
            <translation>随机种子</translation>
        </message>
        <message>
            <source>Of data order, adapter and dropout; the same seed gives the same run.</source>
            <translation>决定数据顺序、适配器和 dropout；种子相同则结果相同。</translation>
        </message>
        <message>
            <source>Evaluate every</source>
            <translation>评估间隔</translation>
        </message>
        <message>
            <source>0: only before the first and after the last step.</source>
            <translation>0：仅在第一步之前和最后一步之后。</translation>
        </message>
        <message>
            <source>steps</source>
            <translation>步</translation>
        </message>
        <message>
            <source>Evaluate on at most</source>
            <translation>最多评估</translation>
        </message>
        <message>
            <source>Samples of each evaluation split.</source>
            <translation>每个评估划分的样本数。</translation>
        </message>
        <message>
            <source>Checkpoint every</source>
            <translation>检查点间隔</translation>
        </message>
        <message>
            <source>0: only at the end and when you ask for it.</source>
            <translation>0：仅在结束时和手动要求时。</translation>
        </message>
        <message>
            <source>Keep checkpoints</source>
            <translation>保留检查点</translation>
        </message>
        <message>
            <source>Older ones are removed.</source>
            <translation>更旧的会被删除。</translation>
        </message>
        <message>
            <source>Alarm above gradient norm</source>
            <translation>梯度范数告警上限</translation>
        </message>
        <message>
            <source>Only an alarm; training goes on.</source>
            <translation>仅告警，训练继续。</translation>
        </message>
        <message>
            <source>Alarm without a step for</source>
            <translation>停滞告警时间</translation>
        </message>
        <message>
            <source>Or ten usual steps, whichever is longer.</source>
            <translation>或十步的通常用时，取较长者。</translation>
        </message>
        <message>
            <source>s</source>
            <translation>秒</translation>
        </message>
        <message>
            <source>Choose one.</source>
            <translation>请选择一项。</translation>
        </message>
        <message>
            <source>Must be above {limit}.</source>
            <translation>必须大于 {limit}。</translation>
        </message>
        <message>
            <source>Must be at least {limit}.</source>
            <translation>不得小于 {limit}。</translation>
        </message>
        <message>
            <source>Must be below {limit}.</source>
            <translation>必须小于 {limit}。</translation>
        </message>
        <message>
            <source>Must be at most {limit}.</source>
            <translation>不得大于 {limit}。</translation>
        </message>
        <message>
            <source>Name at least one.</source>
            <translation>请至少填写一项。</translation>
        </message>
        <message>
            <source>At most {limit}.</source>
            <translation>最多 {limit} 个。</translation>
        </message>
        <message>
            <source>At most {limit} characters.</source>
            <translation>最多 {limit} 个字符。</translation>
        </message>
        <message>
            <source>Must be a whole number.</source>
            <translation>必须是整数。</translation>
        </message>
        <message>
            <source>Must be a number.</source>
            <translation>必须是数字。</translation>
        </message>
        <message>
            <source>One of auto, cpu, cuda, cuda:0, cuda:1 …</source>
            <translation>可填 auto、cpu、cuda、cuda:0、cuda:1 等。</translation>
        </message>
        <message>
            <source>The warm-up must be shorter than the run.</source>
            <translation>预热必须短于整个运行。</translation>
        </message>
        <message>
            <source>This value is not possible.</source>
            <translation>此值无效。</translation>
        </message>
        <message>
            <source>Steps</source>
            <translation>步数</translation>
        </message>
        <message>
            <source>Passes</source>
            <translation>遍数</translation>
        </message>
        <message>
            <source>Samples a step</source>
            <translation>每步样本</translation>
        </message>
        <message>
            <source>{count} steps</source>
            <translation>{count} 步</translation>
        </message>
        <message>
            <source>Training</source>
            <translation>训练</translation>
        </message>
        <message>
            <source>{count} samples</source>
            <translation>{count} 条样本</translation>
        </message>
        <message>
            <source>Evaluation</source>
            <translation>评估</translation>
        </message>
        <message>
            <source>Parameters</source>
            <translation>参数量</translation>
        </message>
        <message>
            <source>Weights</source>
            <translation>权重大小</translation>
        </message>
        <message>
            <source>{free} of {total} GiB</source>
            <translation>{free} / {total} GiB</translation>
        </message>
        <message>
            <source>Free on {card}</source>
            <translation>{card} 可用</translation>
        </message>
        <message>
            <source>Free memory</source>
            <translation>可用内存</translation>
        </message>
        <message>
            <source>Choose a model and data to see the plan.</source>
            <translation>选择模型和数据后显示计划。</translation>
        </message>
    </context>
</TS>
