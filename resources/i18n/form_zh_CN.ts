<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" language="zh_CN" sourcelanguage="en_US">
    <context>
        <name>AdvancedCard</name>
        <message>
            <source>Advanced</source>
            <translation>高级</translation>
        </message>
        <message>
            <source>On</source>
            <translation>开启</translation>
        </message>
    </context>
    <context>
        <name>ForecastCard</name>
        <message>
            <source>Memory needed</source>
            <translation>所需内存</translation>
        </message>
        <message>
            <source>GPU memory needed</source>
            <translation>所需显存</translation>
        </message>
        <message>
            <source>What would help:</source>
            <translation>可采取的措施：</translation>
        </message>
        <message>
            <source>{measure} (−{gib} GiB)</source>
            <translation>{measure}（−{gib} GiB）</translation>
        </message>
    </context>
    <context>
        <name>HowCard</name>
        <message>
            <source>How to train</source>
            <translation>怎样训练</translation>
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
        <message>
            <source>Automatic</source>
            <translation>自动</translation>
        </message>
        <message>
            <source>Processor</source>
            <translation>处理器</translation>
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
        <message>
            <source>Add to queue</source>
            <translation>加入队列</translation>
        </message>
        <message>
            <source>Starts by itself when its card is free</source>
            <translation>显卡空闲时自动启动</translation>
        </message>
    </context>
    <context>
        <name>QueueCard</name>
        <message>
            <source>Queue</source>
            <translation>队列</translation>
        </message>
        <message>
            <source>Clear what has ended</source>
            <translation>清除已结束的条目</translation>
        </message>
        <message>
            <source>When all has ended</source>
            <translation>全部结束后</translation>
        </message>
        <message>
            <source>You are asked first, and have a minute to say no.</source>
            <translation>会先询问您，并留一分钟可以取消。</translation>
        </message>
        <message>
            <source>Do nothing</source>
            <translation>不做任何操作</translation>
        </message>
        <message>
            <source>Sleep</source>
            <translation>睡眠</translation>
        </message>
        <message>
            <source>Switch the computer off</source>
            <translation>关机</translation>
        </message>
        <message>
            <source>Start again what waits</source>
            <translation>恢复队列</translation>
        </message>
        <message>
            <source>Start nothing new</source>
            <translation>暂停队列，不再启动新训练</translation>
        </message>
    </context>
    <context>
        <name>QueueLine</name>
        <message>
            <source>Move {name} up</source>
            <translation>上移 {name}</translation>
        </message>
        <message>
            <source>Move {name} down</source>
            <translation>下移 {name}</translation>
        </message>
        <message>
            <source>Take {name} out</source>
            <translation>移除 {name}</translation>
        </message>
        <message>
            <source>Show {name}</source>
            <translation>查看 {name}</translation>
        </message>
        <message>
            <source>waits for {device}</source>
            <translation>等待{device}</translation>
        </message>
        <message>
            <source>runs on {device}</source>
            <translation>正在 {device} 上运行</translation>
        </message>
        <message>
            <source>ended</source>
            <translation>已结束</translation>
        </message>
        <message>
            <source>could not be started</source>
            <translation>未能启动</translation>
        </message>
        <message>
            <source>a free card</source>
            <translation>空闲显卡</translation>
        </message>
    </context>
    <context>
        <name>TokenDialog</name>
        <message>
            <source>left out</source>
            <translation>已排除</translation>
        </message>
        <message>
            <source>{trained} of {tokens} tokens</source>
            <translation>训练 {trained} / {tokens} token</translation>
        </message>
        <message>
            <source>What the model will read</source>
            <translation>模型将读到的内容</translation>
        </message>
        <message>
            <source>First samples</source>
            <translation>开头的样本</translation>
        </message>
        <message>
            <source>Random samples</source>
            <translation>随机样本</translation>
        </message>
        <message>
            <source>Longest samples</source>
            <translation>最长的样本</translation>
        </message>
        <message>
            <source>Which samples</source>
            <translation>显示哪些样本</translation>
        </message>
        <message>
            <source>Choose others</source>
            <translation>换一批</translation>
        </message>
        <message>
            <source>Samples</source>
            <translation>样本</translation>
        </message>
        <message>
            <source>Text of the sample, token by token</source>
            <translation>样本文本（逐 token）</translation>
        </message>
        <message>
            <source>learned</source>
            <translation>参与训练</translation>
        </message>
        <message>
            <source>only read</source>
            <translation>仅作上文</translation>
        </message>
        <message>
            <source>Lengths in tokens</source>
            <translation>token 长度分布</translation>
        </message>
        <message>
            <source>Longest {longest} tokens, limit {limit}; {cut} samples are cut</source>
            <translation>最长 {longest} token，上限 {limit}；{cut} 个样本被截断</translation>
        </message>
        <message>
            <source>the model's own</source>
            <translation>模型自带</translation>
        </message>
        <message>
            <source>DeepSeek-LLM's (the model has none)</source>
            <translation>DeepSeek-LLM 的模板（模型未自带）</translation>
        </message>
        <message>
            <source>none, plain text</source>
            <translation>无，纯文本</translation>
        </message>
        <message>
            <source>Left out</source>
            <translation>已排除</translation>
        </message>
        <message>
            <source>Learned</source>
            <translation>训练占比</translation>
        </message>
        <message>
            <source>Longest</source>
            <translation>最长</translation>
        </message>
        <message>
            <source>{count} tokens</source>
            <translation>{count} token</translation>
        </message>
        <message>
            <source>Cut</source>
            <translation>被截断</translation>
        </message>
        <message>
            <source>Template</source>
            <translation>对话模板</translation>
        </message>
        <message>
            <source>{share} full, {padded} without</source>
            <translation>填满 {share}，不打包为 {padded}</translation>
        </message>
        <message>
            <source>Packing</source>
            <translation>打包</translation>
        </message>
        <message>
            <source>Adapters on</source>
            <translation>适配层</translation>
        </message>
    </context>
    <context>
        <name>TrainFieldTexts</name>
        <message>
            <source>Saves memory.</source>
            <translation>可节省显存。</translation>
        </message>
        <message>
            <source>Saves much memory.</source>
            <translation>可大幅节省显存。</translation>
        </message>
        <message>
            <source>More needs more memory.</source>
            <translation>越大越占显存。</translation>
        </message>
        <message>
            <source>Usual: {range}.</source>
            <translation>常用：{range}。</translation>
        </message>
        <message>
            <source>Learning</source>
            <translation>学习</translation>
        </message>
        <message>
            <source>Adapter</source>
            <translation>适配器</translation>
        </message>
        <message>
            <source>Data</source>
            <translation>数据</translation>
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
            <source>Several GPUs</source>
            <translation>多卡</translation>
        </message>
        <message>
            <source>Evaluate and keep</source>
            <translation>评估与保存</translation>
        </message>
        <message>
            <source>Safety</source>
            <translation>安全</translation>
        </message>
        <message>
            <source>LoRA</source>
            <translation>LoRA</translation>
        </message>
        <message>
            <source>A small adapter beside the model in 16 bits. The first choice.</source>
            <translation>模型保持 16 位，旁边训练一个小适配器。首选方式。</translation>
        </message>
        <message>
            <source>QLoRA (4-bit)</source>
            <translation>QLoRA（4 位）</translation>
        </message>
        <message>
            <source>The same with the model in 4 bits: about a quarter of the memory for its weights, somewhat slower. Needs bitsandbytes.</source>
            <translation>同上，但模型以 4 位加载：权重显存约为四分之一，速度略慢。需要 bitsandbytes。</translation>
        </message>
        <message>
            <source>LoRA on 8-bit</source>
            <translation>LoRA（8 位）</translation>
        </message>
        <message>
            <source>The model in 8 bits: half the memory for its weights.</source>
            <translation>模型以 8 位加载：权重显存减半。</translation>
        </message>
        <message>
            <source>Full fine-tuning</source>
            <translation>全参数微调</translation>
        </message>
        <message>
            <source>Every weight is trained: about 16 bytes for each parameter. For small models or several cards; take a rate of about 1e-5.</source>
            <translation>训练全部权重：每个参数约需 16 字节。适合小模型或多卡，学习率宜取 1e-5 左右。</translation>
        </message>
        <message>
            <source>Mark it</source>
            <translation>仅标记</translation>
        </message>
        <message>
            <source>A mark on the plots, nothing else.</source>
            <translation>只在曲线上标记。</translation>
        </message>
        <message>
            <source>Tell me</source>
            <translation>通知我</translation>
        </message>
        <message>
            <source>A mark and a message.</source>
            <translation>标记并发出通知。</translation>
        </message>
        <message>
            <source>Save</source>
            <translation>保存</translation>
        </message>
        <message>
            <source>A message, and the last healthy state is saved.</source>
            <translation>发出通知，并保存最近的正常状态。</translation>
        </message>
        <message>
            <source>Pause and ask</source>
            <translation>暂停并询问</translation>
        </message>
        <message>
            <source>Saved and paused until you decide.</source>
            <translation>保存后暂停，等待您决定。</translation>
        </message>
        <message>
            <source>Put it right</source>
            <translation>自动恢复</translation>
        </message>
        <message>
            <source>Back to the last healthy state, the learning rate to a third, the guilty data skipped, then on; at most three times, then it pauses and asks.</source>
            <translation>回到最近的正常状态，学习率降到三分之一，跳过出问题的数据后继续；最多三次，之后暂停并询问。</translation>
        </message>
        <message>
            <source>falls like a cosine</source>
            <translation>余弦下降</translation>
        </message>
        <message>
            <source>falls evenly</source>
            <translation>线性下降</translation>
        </message>
        <message>
            <source>stays</source>
            <translation>保持不变</translation>
        </message>
        <message>
            <source>conversations and answers</source>
            <translation>对话与回答</translation>
        </message>
        <message>
            <source>plain text, continued pre-training</source>
            <translation>纯文本，继续预训练</translation>
        </message>
        <message>
            <source>learn the reasoning too</source>
            <translation>连同推理过程一起学习</translation>
        </message>
        <message>
            <source>answers without reasoning</source>
            <translation>只学习答案，去掉推理</translation>
        </message>
        <message>
            <source>keep all activations</source>
            <translation>保留全部激活</translation>
        </message>
        <message>
            <source>recompute the cheap ones</source>
            <translation>重算开销小的部分</translation>
        </message>
        <message>
            <source>recompute all</source>
            <translation>全部重算</translation>
        </message>
        <message>
            <source>one process</source>
            <translation>单进程</translation>
        </message>
        <message>
            <source>whole model on each card</source>
            <translation>每张卡一份完整模型</translation>
        </message>
        <message>
            <source>model shared by the cards</source>
            <translation>模型分片到各卡</translation>
        </message>
        <message>
            <source>each layer shared by the cards</source>
            <translation>每一层切分到各卡</translation>
        </message>
        <message>
            <source>&amp;Model</source>
            <translation>模型(&amp;M)</translation>
        </message>
        <message>
            <source>The model to begin with.</source>
            <translation>训练的起点模型。</translation>
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
            <source>Met&amp;hod</source>
            <translation>训练方式(&amp;H)</translation>
        </message>
        <message>
            <source>What is trained.</source>
            <translation>训练哪些参数。</translation>
        </message>
        <message>
            <source>&amp;Run on</source>
            <translation>运行设备(&amp;R)</translation>
        </message>
        <message>
            <source>The card that trains.</source>
            <translation>用于训练的显卡。</translation>
        </message>
        <message>
            <source>When it &amp;goes wrong</source>
            <translation>训练异常时(&amp;G)</translation>
        </message>
        <message>
            <source>How far DeepDeck may act by itself when training diverges.</source>
            <translation>训练发散时，DeepDeck 可以自动处理到哪一步。</translation>
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
            <source>Answered before the first step and at every evaluation.</source>
            <translation>在第一步之前和每次评估时回答。</translation>
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
            <source>1e-4 to 3e-4 for LoRA, 1e-5 to 5e-5 for full fine-tuning</source>
            <translation>LoRA 为 1e-4 到 3e-4，全参数微调为 1e-5 到 5e-5</translation>
        </message>
        <message>
            <source>Batch size</source>
            <translation>批大小</translation>
        </message>
        <message>
            <source>Samples that go through the model together on one card.</source>
            <translation>单张卡上一次送入模型的样本数。</translation>
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
            <source>After the warm-up the rate</source>
            <translation>预热后的学习率</translation>
        </message>
        <message>
            <source>How the rate goes on to the end.</source>
            <translation>预热之后学习率的变化方式。</translation>
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
            <source>Warm-up steps</source>
            <translation>预热步数</translation>
        </message>
        <message>
            <source>Instead of the share; for long runs. Must be less than the run.</source>
            <translation>代替预热比例，用于较长的训练；必须小于总步数。</translation>
        </message>
        <message>
            <source>steps</source>
            <translation>步</translation>
        </message>
        <message>
            <source>empty, or up to 1000</source>
            <translation>留空，或不超过 1000</translation>
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
            <source>Seed</source>
            <translation>随机种子</translation>
        </message>
        <message>
            <source>Of data order, adapter and dropout; the same seed gives the same run.</source>
            <translation>决定数据顺序、适配器和 dropout；种子相同则结果相同。</translation>
        </message>
        <message>
            <source>LoRA rank</source>
            <translation>LoRA 秩</translation>
        </message>
        <message>
            <source>Size of the adapter: more can learn more.</source>
            <translation>适配器的大小：越大能学得越多。</translation>
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
            <source>twice the rank</source>
            <translation>秩的两倍</translation>
        </message>
        <message>
            <source>LoRA dropout</source>
            <translation>LoRA dropout</translation>
        </message>
        <message>
            <source>Share of inputs dropped, against learning by heart. 0 is fastest.</source>
            <translation>随机丢弃输入的比例，防止死记硬背。0 最快。</translation>
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
            <source>Rank-stabilized scale</source>
            <translation>按秩稳定缩放</translation>
        </message>
        <message>
            <source>Scale by alpha / √rank (rsLoRA): for ranks above 32.</source>
            <translation>按 alpha / √秩 缩放（rsLoRA）：适合大于 32 的秩。</translation>
        </message>
        <message>
            <source>DoRA</source>
            <translation>DoRA</translation>
        </message>
        <message>
            <source>Train length and direction of the weights apart: often better at small ranks, clearly slower.</source>
            <translation>分别训练权重的大小和方向：小秩时往往更好，但明显更慢。</translation>
        </message>
        <message>
            <source>Precision of the adapter</source>
            <translation>适配器精度</translation>
        </message>
        <message>
            <source>bf16 saves memory where all layers carry adapters and loses a little precision.</source>
            <translation>所有层都加适配器时，bf16 更省显存，精度略有损失。</translation>
        </message>
        <message>
            <source>Learn from</source>
            <translation>数据类型</translation>
        </message>
        <message>
            <source>What the data is.</source>
            <translation>数据是什么形式。</translation>
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
            <source>Packing</source>
            <translation>打包</translation>
        </message>
        <message>
            <source>Several samples share a row without seeing each other: two to four times as fast on short samples.</source>
            <translation>多条样本拼成一行且互不可见：短样本可提速二到四倍。</translation>
        </message>
        <message>
            <source>Learn answers only</source>
            <translation>只学习回答</translation>
        </message>
        <message>
            <source>Off: the questions are learned as well.</source>
            <translation>关闭时也学习提问部分。</translation>
        </message>
        <message>
            <source>&lt;think&gt; parts</source>
            <translation>&lt;think&gt; 部分</translation>
        </message>
        <message>
            <source>What happens to the reasoning in R1-style answers.</source>
            <translation>如何处理 R1 风格回答中的推理过程。</translation>
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
            <source>Activations</source>
            <translation>激活</translation>
        </message>
        <message>
            <source>Recomputing them costs a fifth to a third of the speed.</source>
            <translation>重算会使速度下降五分之一到三分之一。</translation>
        </message>
        <message>
            <source>Loss in pieces</source>
            <translation>分块计算损失</translation>
        </message>
        <message>
            <source>Never holds the scores of the whole vocabulary; costs nothing.</source>
            <translation>不保存整个词表的得分，几乎没有代价。</translation>
        </message>
        <message>
            <source>Activations in RAM</source>
            <translation>激活放到内存</translation>
        </message>
        <message>
            <source>Moves kept activations to the computer's memory.</source>
            <translation>把保留的激活移到电脑内存。</translation>
        </message>
        <message>
            <source>Optimizer</source>
            <translation>优化器</translation>
        </message>
        <message>
            <source>8-bit keeps its state in a quarter of the room; paged moves it out when the card is full (both need bitsandbytes).</source>
            <translation>8 位优化器状态只占四分之一；paged 在显存不足时移出显卡（均需 bitsandbytes）。</translation>
        </message>
        <message>
            <source>Optimizer in RAM</source>
            <translation>优化器放到内存</translation>
        </message>
        <message>
            <source>Keeps its state in the computer's memory. For full fine-tuning.</source>
            <translation>把优化器状态放在电脑内存中。适合全参数微调。</translation>
        </message>
        <message>
            <source>Double quantization</source>
            <translation>双重量化</translation>
        </message>
        <message>
            <source>4-bit scales are quantized too: 0.4 bit a weight less.</source>
            <translation>4 位的缩放系数也量化：每个权重再省 0.4 位。</translation>
        </message>
        <message>
            <source>Save memory by itself</source>
            <translation>显存不足时自动处理</translation>
        </message>
        <message>
            <source>When memory runs out: take the next measure and go on from the same sample, instead of ending.</source>
            <translation>显存不足时自动采取下一项措施，并从同一样本继续，而不是结束训练。</translation>
        </message>
        <message>
            <source>DeepDeck's kernels</source>
            <translation>DeepDeck 内核</translation>
        </message>
        <message>
            <source>Faster layers for Llama and Qwen models on an NVIDIA card; same result.</source>
            <translation>在 NVIDIA 显卡上加速 Llama 和 Qwen 模型的各层，结果相同。</translation>
        </message>
        <message>
            <source>Compile layers</source>
            <translation>编译各层</translation>
        </message>
        <message>
            <source>A start of one to three minutes, then faster steps. For long runs.</source>
            <translation>启动需一到三分钟，之后每步更快。适合较长的训练。</translation>
        </message>
        <message>
            <source>Liger kernels</source>
            <translation>Liger 内核</translation>
        </message>
        <message>
            <source>From the package liger-kernel, instead of DeepDeck's own.</source>
            <translation>用 liger-kernel 软件包代替 DeepDeck 自带的内核。</translation>
        </message>
        <message>
            <source>Share the work</source>
            <translation>分工方式</translation>
        </message>
        <message>
            <source>How several cards train one model. What was not tried on real cards is left to the command line.</source>
            <translation>多张显卡如何共同训练一个模型。未在真实显卡上验证过的方式仅在命令行提供。</translation>
        </message>
        <message>
            <source>Cards in this machine</source>
            <translation>本机显卡数</translation>
        </message>
        <message>
            <source>One process for each.</source>
            <translation>每张卡一个进程。</translation>
        </message>
        <message>
            <source>Machines</source>
            <translation>机器数</translation>
        </message>
        <message>
            <source>That train together; the same files on each.</source>
            <translation>共同训练的机器，每台都需要相同的文件。</translation>
        </message>
        <message>
            <source>Number of this machine</source>
            <translation>本机编号</translation>
        </message>
        <message>
            <source>0 writes the run.</source>
            <translation>0 号机器负责写入运行记录。</translation>
        </message>
        <message>
            <source>Meeting point</source>
            <translation>汇合地址</translation>
        </message>
        <message>
            <source>host:port of machine 0; only for several machines.</source>
            <translation>0 号机器的 host:port，仅多机时需要。</translation>
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
            <source>Keep the best</source>
            <translation>保留最佳</translation>
        </message>
        <message>
            <source>The checkpoint with the lowest evaluation loss stays as well.</source>
            <translation>同时保留评估损失最低的检查点。</translation>
        </message>
        <message>
            <source>Send curves to</source>
            <translation>曲线同步到</translation>
        </message>
        <message>
            <source>tensorboard, wandb, or empty. Nothing leaves this computer when empty.</source>
            <translation>tensorboard、wandb，或留空。留空时不会有任何数据离开本机。</translation>
        </message>
        <message>
            <source>Dry run</source>
            <translation>试运行</translation>
        </message>
        <message>
            <source>Tries the longest batch, saving and loading before the first step.</source>
            <translation>在第一步之前试跑最长的批次，并试存试取。</translation>
        </message>
        <message>
            <source>Healthy state every</source>
            <translation>正常状态间隔</translation>
        </message>
        <message>
            <source>Kept in memory, to go back to.</source>
            <translation>保存在内存中，供回退使用。</translation>
        </message>
        <message>
            <source>Roll back at most</source>
            <translation>最多回退</translation>
        </message>
        <message>
            <source>Then it pauses and asks.</source>
            <translation>超过后暂停并询问。</translation>
        </message>
        <message>
            <source>times</source>
            <translation>次</translation>
        </message>
        <message>
            <source>Divide the rate by</source>
            <translation>学习率除以</translation>
        </message>
        <message>
            <source>At each roll-back: 3 takes 3e-5 to 1e-5.</source>
            <translation>每次回退时：取 3 即从 3e-5 降到 1e-5。</translation>
        </message>
        <message>
            <source>Warm up again over</source>
            <translation>重新预热</translation>
        </message>
        <message>
            <source>After a roll-back.</source>
            <translation>回退之后。</translation>
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
    </context>
    <context>
        <name>TrainTexts</name>
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
            <source>Warm-up</source>
            <translation>预热</translation>
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
            <source>Adapters on</source>
            <translation type="unfinished">适配层</translation>
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
            <source>about {count}</source>
            <translation>约 {count}</translation>
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
    <context>
        <name>WhatCard</name>
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
            <source>Look at samples…</source>
            <translation>查看样本…</translation>
        </message>
        <message>
            <source>As the model will read them: template, tokens, and what is learned</source>
            <translation>以模型读到的样子查看：模板、token，以及参与训练的部分</translation>
        </message>
    </context>
</TS>
