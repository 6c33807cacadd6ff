<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" language="zh_CN" sourcelanguage="en_US">
<context>
    <name>AlarmView</name>
    <message>
        <source>Alarms ({count})</source>
        <translation type="unfinished">告警（{count}）</translation>
    </message>
    <message>
        <source>Step {step}</source>
        <translation>第 {step} 步</translation>
    </message>
    <message>
        <source>Back to the plots</source>
        <translation>返回曲线</translation>
    </message>
    <message>
        <source>Show this step on the plots</source>
        <translation>在曲线上显示这一步</translation>
    </message>
    <message>
        <source>Alarms, newest first</source>
        <translation>告警，最新的在前</translation>
    </message>
</context>
<context>
    <name>AlarmWords</name>
    <message>
        <source>It was marked on the plots; training went on.</source>
        <translation>已在曲线上标记，训练继续。</translation>
    </message>
    <message>
        <source>You were told; training went on.</source>
        <translation>已通知您，训练继续。</translation>
    </message>
    <message>
        <source>A checkpoint was saved; training went on.</source>
        <translation>已保存检查点，训练继续。</translation>
    </message>
    <message>
        <source>Training was paused.</source>
        <translation>训练已暂停。</translation>
    </message>
    <message>
        <source>The run goes back to a healthy state.</source>
        <translation>正在回滚到健康状态。</translation>
    </message>
    <message>
        <source>Training was paused: there is no healthy state to go back to.</source>
        <translation>训练已暂停：没有可回滚的健康状态。</translation>
    </message>
    <message>
        <source>Training was paused: all rollbacks that were allowed are used up.</source>
        <translation>训练已暂停：允许的回滚次数已用完。</translation>
    </message>
    <message>
        <source>Rolled back to step {step}, learning rate now × {scale}.</source>
        <translation>已回滚到第 {step} 步，学习率现为 × {scale}。</translation>
    </message>
    <message>
        <source>{count} samples between are left out.</source>
        <translation>期间的 {count} 条样本已跳过。</translation>
    </message>
    <message>
        <source>The rate rises again over {count} steps.</source>
        <translation>学习率在 {count} 步内重新预热。</translation>
    </message>
    <message>
        <source>Attempt {attempt} of {most}.</source>
        <translation>第 {attempt} 次，最多 {most} 次。</translation>
    </message>
    <message>
        <source>Roll back to step {step}</source>
        <translation>回滚到第 {step} 步</translation>
    </message>
    <message>
        <source>Roll back</source>
        <translation>回滚</translation>
    </message>
    <message>
        <source>Go back to the newest healthy state, with a lower rate and past this data</source>
        <translation>回到最近的健康状态，降低学习率并跳过这段数据</translation>
    </message>
    <message>
        <source>Learning rate to a third, continue</source>
        <translation>学习率降为三分之一并继续</translation>
    </message>
    <message>
        <source>Learning rate to a third</source>
        <translation>学习率降为三分之一</translation>
    </message>
    <message>
        <source>From the next step on; can be changed again at any time</source>
        <translation>从下一步起生效，可随时再改</translation>
    </message>
    <message>
        <source>Continue</source>
        <translation type="unfinished">继续</translation>
    </message>
    <message>
        <source>Go on from here as if nothing had happened</source>
        <translation>从这里继续，不作任何改动</translation>
    </message>
    <message>
        <source>Stop and save</source>
        <translation type="unfinished">停止并保存</translation>
    </message>
    <message>
        <source>Finish the step, save a checkpoint and the adapter, then end</source>
        <translation type="unfinished">完成当前步，保存检查点和适配器后结束</translation>
    </message>
    <message>
        <source>The checked samples are not shown to the model any more in this run</source>
        <translation>本次运行中不再使用勾选的样本</translation>
    </message>
    <message>
        <source>Exclude the checked samples</source>
        <translation>排除勾选的样本</translation>
    </message>
    <message>
        <source>Exclude {count} samples</source>
        <translation>排除 {count} 条样本</translation>
    </message>
    <message>
        <source>Exclude 1 sample</source>
        <translation>排除 1 条样本</translation>
    </message>
    <message>
        <source>Exclude {count} samples and continue</source>
        <translation>排除 {count} 条样本并继续</translation>
    </message>
    <message>
        <source>Exclude 1 sample and continue</source>
        <translation>排除 1 条样本并继续</translation>
    </message>
</context>
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
        <source>See the batch</source>
        <translation>查看该批次</translation>
    </message>
    <message>
        <source>Details</source>
        <translation type="unfinished">详情</translation>
    </message>
    <message>
        <source>What was seen, why, and what can be done</source>
        <translation>现象、原因与对策</translation>
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
    <name>AskCard</name>
    <message>
        <source>See why, and the batch</source>
        <translation>查看原因与批次</translation>
    </message>
    <message>
        <source>Paused at step {step}: {title}</source>
        <translation>在第 {step} 步暂停：{title}</translation>
    </message>
    <message>
        <source>How shall it go on?</source>
        <translation>如何继续？</translation>
    </message>
</context>
<context>
    <name>BatchCard</name>
    <message>
        <source>Reading the batch …</source>
        <translation>正在读取该批次……</translation>
    </message>
    <message>
        <source>No batch was kept for this alarm: it is not about single samples.</source>
        <translation>此告警与具体样本无关，没有保留批次。</translation>
    </message>
    <message>
        <source>The batch that did it</source>
        <translation>触发告警的批次</translation>
    </message>
    <message>
        <source>The sample as the model reads it</source>
        <translation>模型读到的样本</translation>
    </message>
    <message>
        <source>learned</source>
        <translation>参与训练</translation>
    </message>
    <message>
        <source>read only</source>
        <translation>仅作上下文</translation>
    </message>
    <message>
        <source>Step {step}, epoch {epoch}: loss {loss}, gradient norm {norm}, learning rate {rate}.</source>
        <translation>第 {step} 步，轮次 {epoch}：损失 {loss}，梯度范数 {norm}，学习率 {rate}。</translation>
    </message>
    <message>
        <source>{count} more samples are not listed.</source>
        <translation>另有 {count} 条样本未列出。</translation>
    </message>
    <message>
        <source>Sample {number} · {place}</source>
        <translation>样本 {number} · {place}</translation>
    </message>
    <message>
        <source>… {count} more characters</source>
        <translation>……还有 {count} 个字符</translation>
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
    <name>DryRunCard</name>
    <message>
        <source>Try-out before the start</source>
        <translation>开始前试跑</translation>
    </message>
    <message>
        <source>The longest micro-batch: {rows} × {tokens} tokens</source>
        <translation>最长的微批次：{rows} × {tokens} 个 token</translation>
    </message>
    <message>
        <source>The loss was not a finite number.</source>
        <translation>损失不是有限数值。</translation>
    </message>
    <message>
        <source>{peak} of {limit} GiB</source>
        <translation>{peak} / {limit} GiB</translation>
    </message>
    <message>
        <source>Peak memory</source>
        <translation>峰值显存</translation>
    </message>
    <message>
        <source>A step</source>
        <translation>每步</translation>
    </message>
    <message>
        <source>{n} s</source>
        <translation>{n} 秒</translation>
    </message>
    <message>
        <source>The whole run</source>
        <translation>整个运行</translation>
    </message>
    <message>
        <source>Energy</source>
        <translation>能耗</translation>
    </message>
    <message>
        <source>A checkpoint</source>
        <translation>每个检查点</translation>
    </message>
</context>
<context>
    <name>ExportDialog</name>
    <message>
        <source>Merge or export</source>
        <translation type="unfinished">合并或导出</translation>
    </message>
    <message>
        <source>A whole model with the adapter in it</source>
        <translation>合并适配器后的完整模型</translation>
    </message>
    <message>
        <source>Any program can load it; as large as the base model.</source>
        <translation>任何程序都能加载，体积与基础模型相同。</translation>
    </message>
    <message>
        <source>The adapter alone</source>
        <translation>仅适配器</translation>
    </message>
    <message>
        <source>Small; whoever uses it needs the same base model.</source>
        <translation>体积小，使用时需要同一基础模型。</translation>
    </message>
    <message>
        <source>Which state</source>
        <translation>使用哪个状态</translation>
    </message>
    <message>
        <source>The last one, as it was saved at the end</source>
        <translation>结束时保存的最后状态</translation>
    </message>
    <message>
        <source>The one with the lowest evaluation loss, of step {step}</source>
        <translation>评估损失最低的状态（第 {step} 步）</translation>
    </message>
    <message>
        <source>Merge into</source>
        <translation>合并到</translation>
    </message>
    <message>
        <source>The original 16-bit weights</source>
        <translation>原始 16 位权重</translation>
    </message>
    <message>
        <source>The dequantized weights that were trained on</source>
        <translation>训练时所见的反量化权重</translation>
    </message>
    <message>
        <source>Folder</source>
        <translation>文件夹</translation>
    </message>
    <message>
        <source>Empty: inside DeepDeck&apos;s own folder</source>
        <translation>留空则存入 DeepDeck 自己的文件夹</translation>
    </message>
    <message>
        <source>Choose</source>
        <translation>选择</translation>
    </message>
    <message>
        <source>Export</source>
        <translation>导出</translation>
    </message>
    <message>
        <source>Close</source>
        <translation>关闭</translation>
    </message>
    <message>
        <source>Open the folder</source>
        <translation type="unfinished">打开文件夹</translation>
    </message>
    <message>
        <source>Deploy this model</source>
        <translation>部署此模型</translation>
    </message>
    <message>
        <source>It is added to the list of models first</source>
        <translation>会先加入模型列表</translation>
    </message>
    <message>
        <source>Folder for the export</source>
        <translation>导出文件夹</translation>
    </message>
    <message>
        <source>Written to {path}, {size}.</source>
        <translation>已写入 {path}，{size}。</translation>
    </message>
    <message>
        <source>Merged into the original weights</source>
        <translation>合并到原始权重</translation>
    </message>
    <message>
        <source>Merged into the dequantized weights</source>
        <translation>合并到反量化权重</translation>
    </message>
    <message>
        <source>{name}: {kl} nats a token from what was trained</source>
        <translation>{name}：与训练结果每 token 相差 {kl} nats</translation>
    </message>
    <message>
        <source>{share} of the next words are the same</source>
        <translation>下一个词有 {share} 相同</translation>
    </message>
</context>
<context>
    <name>HelpedItselfCard</name>
    <message>
        <source>Made to fit</source>
        <translation>已自动节省内存</translation>
    </message>
    <message>
        <source>Memory ran out at step {step}; the run went on with: {measure}.</source>
        <translation>第 {step} 步内存不足，已采用后继续：{measure}。</translation>
    </message>
</context>
<context>
    <name>MemoryCard</name>
    <message>
        <source>Memory by part</source>
        <translation>显存构成</translation>
    </message>
    <message>
        <source>The run holds more than the card has: the driver has moved the rest into the computer&apos;s memory, and every step is much slower.</source>
        <translation>本次运行占用超出显存容量：驱动程序已把多出部分移到内存，每一步都会慢很多。</translation>
    </message>
    <message>
        <source>forecast {total} GiB</source>
        <translation>预测 {total} GiB</translation>
    </message>
    <message>
        <source>forecast {total}, measured {peak} GiB ({off})</source>
        <translation>预测 {total}，实测 {peak} GiB（{off}）</translation>
    </message>
    <message>
        <source>{name} holds {gib} GiB</source>
        <translation>{name} 占用 {gib} GiB</translation>
    </message>
    <message>
        <source>another program</source>
        <translation>另一程序</translation>
    </message>
    <message>
        <source>{gib} GiB held by the desktop and the driver</source>
        <translation>桌面与驱动程序占用 {gib} GiB</translation>
    </message>
</context>
<context>
    <name>MemoryWords</name>
    <message>
        <source>weights ({bits}-bit)</source>
        <translation>权重（{bits} 位）</translation>
    </message>
    <message>
        <source>weights</source>
        <translation>权重</translation>
    </message>
    <message>
        <source>adapter</source>
        <translation>适配器</translation>
    </message>
    <message>
        <source>gradients</source>
        <translation>梯度</translation>
    </message>
    <message>
        <source>optimizer</source>
        <translation>优化器</translation>
    </message>
    <message>
        <source>activations</source>
        <translation>激活值</translation>
    </message>
    <message>
        <source>logits</source>
        <translation>logits</translation>
    </message>
    <message>
        <source>fragments</source>
        <translation>碎片</translation>
    </message>
    <message>
        <source>libraries</source>
        <translation>运行库</translation>
    </message>
    <message>
        <source>other</source>
        <translation>其他</translation>
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
    <name>NotesCard</name>
    <message>
        <source>Good to know</source>
        <translation>须知</translation>
    </message>
</context>
<context>
    <name>OutOfMemoryCard</name>
    <message>
        <source>Memory ran out at step {step}</source>
        <translation>第 {step} 步内存不足</translation>
    </message>
    <message>
        <source>{needed} GiB more were asked for while {allocated} of {limit} GiB were in use; the longest sample had {tokens} tokens.</source>
        <translation>在已占用 {allocated} / {limit} GiB 时又申请了 {needed} GiB；最长样本有 {tokens} 个 token。</translation>
    </message>
    <message>
        <source>What would help, gentlest first</source>
        <translation>可行的办法，影响小的在前</translation>
    </message>
    <message>
        <source>Apply and go on</source>
        <translation>采用并继续</translation>
    </message>
    <message>
        <source>saves about {gib} GiB</source>
        <translation>约省 {gib} GiB</translation>
    </message>
    <message>
        <source>steps take {share} longer</source>
        <translation>每步慢 {share}</translation>
    </message>
    <message>
        <source>{saves}; {slower}</source>
        <translation>{saves}；{slower}</translation>
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
    <name>RatePopover</name>
    <message>
        <source>Learning rate</source>
        <translation type="unfinished">学习率</translation>
    </message>
    <message>
        <source>Now {rate}, {scale} times the schedule&apos;s.</source>
        <translation>现为 {rate}，是计划值的 {scale}。</translation>
    </message>
    <message>
        <source>Now {rate}, as scheduled.</source>
        <translation>现为 {rate}，与计划一致。</translation>
    </message>
    <message>
        <source>As scheduled</source>
        <translation>恢复计划值</translation>
    </message>
    <message>
        <source>Take every change of the rate back</source>
        <translation>撤销对学习率的所有更改</translation>
    </message>
    <message>
        <source>Factor</source>
        <translation>倍率</translation>
    </message>
    <message>
        <source>Change the rate</source>
        <translation>更改学习率</translation>
    </message>
    <message>
        <source>from the next step on</source>
        <translation>从下一步起生效</translation>
    </message>
    <message>
        <source>next step about {rate}</source>
        <translation>下一步约为 {rate}</translation>
    </message>
    <message>
        <source>a number from 0.001 to 100, or a fraction like 1/3</source>
        <translation>0.001 到 100 的数，或 1/3 这样的分数</translation>
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
        <source>Deploy this model</source>
        <translation>部署此模型</translation>
    </message>
    <message>
        <source>Chat with it</source>
        <translation>与它对话</translation>
    </message>
    <message>
        <source>Merge or export</source>
        <translation>合并或导出</translation>
    </message>
    <message>
        <source>Write a whole model with the adapter in it, or the adapter alone</source>
        <translation>写出合并适配器后的完整模型，或仅导出适配器</translation>
    </message>
    <message>
        <source>Save a capsule</source>
        <translation>保存复现包</translation>
    </message>
    <message>
        <source>Settings, hashes of data and model, versions, seeds and curves in one file, which opens as a new run anywhere</source>
        <translation>将设置、数据与模型哈希、版本、种子和曲线存为一个文件，可在任何机器上作为新运行打开</translation>
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
        <source>The model is saved.</source>
        <translation>模型已保存。</translation>
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
    <message>
        <source>The evaluation loss was lowest at step {step} ({best}) and rose again: the model began to learn the training data by heart.</source>
        <translation>评估损失在第 {step} 步最低（{best}），随后回升：模型开始死记训练数据。</translation>
    </message>
    <message>
        <source>The checkpoint of step {step} is kept.</source>
        <translation>第 {step} 步的检查点已保留。</translation>
    </message>
</context>
<context>
    <name>RunControls</name>
    <message>
        <source>Resume</source>
        <translation type="unfinished">继续</translation>
    </message>
    <message>
        <source>Go on from the newest checkpoint, in the same run</source>
        <translation type="unfinished">从最新的检查点继续同一运行</translation>
    </message>
    <message>
        <source>Save now</source>
        <translation type="unfinished">立即保存</translation>
    </message>
    <message>
        <source>Write a checkpoint and go on training</source>
        <translation type="unfinished">写入检查点后继续训练</translation>
    </message>
    <message>
        <source>Learning rate</source>
        <translation type="unfinished">学习率</translation>
    </message>
    <message>
        <source>Change the learning rate from the next step on</source>
        <translation>从下一步起更改学习率</translation>
    </message>
    <message>
        <source>Hold after this step; the model stays loaded</source>
        <translation>完成当前步后暂停，模型保持加载</translation>
    </message>
    <message>
        <source>Continue</source>
        <translation type="unfinished">继续</translation>
    </message>
    <message>
        <source>Pause</source>
        <translation type="unfinished">暂停</translation>
    </message>
    <message>
        <source>Other ways to pause</source>
        <translation>其他暂停方式</translation>
    </message>
    <message>
        <source>Pause and free the GPU</source>
        <translation>暂停并释放显存</translation>
    </message>
    <message>
        <source>Everything waits in the computer&apos;s memory, so that the card can do other work</source>
        <translation>全部内容暂存于内存，显卡可用于其他工作</translation>
    </message>
    <message>
        <source>Stop faster</source>
        <translation type="unfinished">尽快停止</translation>
    </message>
    <message>
        <source>Do not wait for the step to end</source>
        <translation type="unfinished">不再等待当前步结束</translation>
    </message>
    <message>
        <source>Stop and save</source>
        <translation type="unfinished">停止并保存</translation>
    </message>
    <message>
        <source>Finish the step, save a checkpoint and the adapter, then end</source>
        <translation type="unfinished">完成当前步，保存检查点和适配器后结束</translation>
    </message>
    <message>
        <source>Other ways to stop</source>
        <translation>其他停止方式</translation>
    </message>
    <message>
        <source>Stop without saving</source>
        <translation>停止但不保存</translation>
    </message>
</context>
<context>
    <name>RunFacts</name>
    <message>
        <source>{count} cards {strategy} {dtype}</source>
        <translation>{count} 张卡 {strategy} {dtype}</translation>
    </message>
    <message>
        <source>{count} samples</source>
        <translation type="unfinished">{count} 条样本</translation>
    </message>
    <message>
        <source>when it goes wrong: {action}</source>
        <translation>出现异常时：{action}</translation>
    </message>
    <message>
        <source>started {clock}</source>
        <translation type="unfinished">{clock} 开始</translation>
    </message>
    <message>
        <source>goes on when this window is closed</source>
        <translation type="unfinished">关闭窗口后继续运行</translation>
    </message>
</context>
<context>
    <name>RunMarks</name>
    <message>
        <source>Best checkpoint so far</source>
        <translation>目前最佳检查点</translation>
    </message>
    <message>
        <source>Checkpoint</source>
        <translation>检查点</translation>
    </message>
    <message>
        <source>Rolled back from step {step} to step {to_step}</source>
        <translation>从第 {step} 步回滚到第 {to_step} 步</translation>
    </message>
    <message>
        <source>Learning rate × {scale}</source>
        <translation>学习率 × {scale}</translation>
    </message>
</context>
<context>
    <name>RunStats</name>
    <message>
        <source>Remaining</source>
        <translation type="unfinished">剩余</translation>
    </message>
    <message>
        <source>Time taken</source>
        <translation type="unfinished">用时</translation>
    </message>
    <message>
        <source>{n} tok/s</source>
        <translation type="unfinished">{n} token/s</translation>
    </message>
    <message>
        <source>Model FLOPs utilization: the arithmetic that the model needs, against what this card reached in a measured matrix product ({peak} TFLOPS). Recomputation is not counted.</source>
        <translation>模型算力利用率：模型所需的计算量与本卡实测矩阵乘法峰值（{peak} TFLOPS）之比，不计重计算。</translation>
    </message>
    <message>
        <source>Over {count} cards.</source>
        <translation>共 {count} 张卡。</translation>
    </message>
    <message>
        <source>paused</source>
        <translation type="unfinished">已暂停</translation>
    </message>
    <message>
        <source>estimating…</source>
        <translation type="unfinished">估算中…</translation>
    </message>
    <message>
        <source>{n} s ± {spread}</source>
        <translation type="unfinished">{n} 秒 ± {spread}</translation>
    </message>
    <message>
        <source>{n} min ± {spread}</source>
        <translation type="unfinished">{n} 分 ± {spread}</translation>
    </message>
    <message>
        <source>{n} h ± {spread}</source>
        <translation type="unfinished">{n} 小时 ± {spread}</translation>
    </message>
    <message>
        <source>Step</source>
        <translation type="unfinished">步</translation>
    </message>
    <message>
        <source>Epoch</source>
        <translation type="unfinished">轮次</translation>
    </message>
    <message>
        <source>Speed</source>
        <translation type="unfinished">速度</translation>
    </message>
    <message>
        <source>MFU</source>
        <translation>MFU</translation>
    </message>
    <message>
        <source>Tokens a step</source>
        <translation>每步 token</translation>
    </message>
    <message>
        <source>Loss</source>
        <translation type="unfinished">损失</translation>
    </message>
    <message>
        <source>Eval loss</source>
        <translation type="unfinished">评估损失</translation>
    </message>
    <message>
        <source>Expected, over all cards and micro-steps, padding left out</source>
        <translation>预计值，含所有卡与微步，不含填充</translation>
    </message>
    <message>
        <source>Progress of the run</source>
        <translation type="unfinished">运行进度</translation>
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
    <name>SampleTable</name>
    <message>
        <source>Samples of the batch, highest loss first</source>
        <translation>该批次的样本，损失高者在前</translation>
    </message>
    <message>
        <source>Sample</source>
        <translation>样本</translation>
    </message>
    <message>
        <source>Where</source>
        <translation>位置</translation>
    </message>
    <message>
        <source>Tokens</source>
        <translation>token 数</translation>
    </message>
    <message>
        <source>Loss</source>
        <translation type="unfinished">损失</translation>
    </message>
    <message>
        <source>Tokens of the sample; in brackets those that are learned</source>
        <translation>样本的 token 数，括号内为参与训练的数量</translation>
    </message>
    <message>
        <source>{number}, excluded</source>
        <translation>{number}，已排除</translation>
    </message>
</context>
<context>
    <name>SamplesCard</name>
    <message>
        <source>Step whose answers are shown</source>
        <translation>显示哪一步的回答</translation>
    </message>
    <message>
        <source>Answers at each evaluation</source>
        <translation>每次评估时的回答</translation>
    </message>
    <message>
        <source>Answers before training</source>
        <translation>训练前的回答</translation>
    </message>
    <message>
        <source>Answers at step {step}</source>
        <translation>第 {step} 步的回答</translation>
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
    <name>StoryCard</name>
    <message>
        <source>Step {step} · {title}</source>
        <translation>第 {step} 步 · {title}</translation>
    </message>
    <message>
        <source>What was found, most telling first</source>
        <translation>诊断结果，最有力的在前</translation>
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
        <source>card</source>
        <translation>显卡</translation>
    </message>
    <message>
        <source>this run</source>
        <translation>本次运行</translation>
    </message>
    <message>
        <source>reserved</source>
        <translation>已预留</translation>
    </message>
    <message>
        <source>in use</source>
        <translation>使用中</translation>
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
        <source>Loss</source>
        <translation>损失</translation>
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
        <source>Train</source>
        <translation>训练</translation>
    </message>
    <message>
        <source>Fine-tune a model on your own data.</source>
        <translation>用自己的数据微调模型。</translation>
    </message>
    <message>
        <source>Checking the model and the data …</source>
        <translation>正在检查模型和数据……</translation>
    </message>
    <message>
        <source>{name} waits in the queue</source>
        <translation>{name} 正在排队</translation>
    </message>
    <message>
        <source>The run did not do it. {reason}</source>
        <translation>运行未执行该操作。{reason}</translation>
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
</TS>
