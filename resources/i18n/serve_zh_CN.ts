<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" language="zh_CN" sourcelanguage="en_US">
    <context>
        <name>AnswerBubble</name>
        <message>
            <source>{n} tokens</source>
            <translation>{n} token</translation>
        </message>
        <message>
            <source>{n} tokens/s</source>
            <translation>{n} token/s</translation>
        </message>
        <message>
            <source>first after {n} ms</source>
            <translation>首字 {n} ms</translation>
        </message>
        <message>
            <source>cut at the limit</source>
            <translation>已达长度上限</translation>
        </message>
        <message>
            <source>stopped by you</source>
            <translation>已手动停止</translation>
        </message>
        <message>
            <source>Thoughts</source>
            <translation>思考过程</translation>
        </message>
        <message>
            <source>Copy the answer</source>
            <translation>复制回答</translation>
        </message>
    </context>
    <context>
        <name>ChatPage</name>
        <message>
            <source>Chat</source>
            <translation>对话</translation>
        </message>
        <message>
            <source>no API runs</source>
            <translation>没有运行中的 API</translation>
        </message>
        <message>
            <source>Talk to a model that is served on this computer.</source>
            <translation>与本机部署的模型对话。</translation>
        </message>
        <message>
            <source>Stop</source>
            <translation>停止</translation>
        </message>
        <message>
            <source>Send</source>
            <translation>发送</translation>
        </message>
        <message>
            <source>No API is running</source>
            <translation>没有运行中的 API</translation>
        </message>
        <message>
            <source>Start one on the Deploy page; then its model can be talked to here.</source>
            <translation>请先在“部署”页启动 API，随后即可在此与模型对话。</translation>
        </message>
        <message>
            <source>Start an API</source>
            <translation>启动 API</translation>
        </message>
        <message>
            <source>Ask something. Nothing leaves this computer.</source>
            <translation>请输入问题。所有内容都不会离开本机。</translation>
        </message>
        <message>
            <source>Your question; Enter sends, Shift+Enter breaks</source>
            <translation>输入问题，Enter 发送，Shift+Enter 换行</translation>
        </message>
        <message>
            <source>Your question</source>
            <translation>问题</translation>
        </message>
        <message>
            <source>Conversation</source>
            <translation>对话内容</translation>
        </message>
        <message>
            <source>Answer again</source>
            <translation>重新回答</translation>
        </message>
        <message>
            <source>Ask the last question once more</source>
            <translation>再次提出上一个问题</translation>
        </message>
        <message>
            <source>New conversation</source>
            <translation>新对话</translation>
        </message>
        <message>
            <source>Forget what was said; it is stored nowhere</source>
            <translation>清除当前内容，对话不会保存到任何地方</translation>
        </message>
    </context>
    <context>
        <name>ChatSettingsCard</name>
        <message>
            <source>Enter a whole number.</source>
            <translation>请输入整数。</translation>
        </message>
        <message>
            <source>Both, side by side</source>
            <translation>两者并排对比</translation>
        </message>
        <message>
            <source>Who answers, and how</source>
            <translation>对话设置</translation>
        </message>
        <message>
            <source>&amp;API</source>
            <translation>&amp;API</translation>
        </message>
        <message>
            <source>One of the servers that run now.</source>
            <translation>当前运行中的服务之一。</translation>
        </message>
        <message>
            <source>&amp;Model</source>
            <translation>模型(&amp;M)</translation>
        </message>
        <message>
            <source>With the adapter, without it, or both.</source>
            <translation>使用适配器、不使用，或两者对比。</translation>
        </message>
        <message>
            <source>&amp;Temperature</source>
            <translation>温度(&amp;T)</translation>
        </message>
        <message>
            <source>0 always takes the most probable word; higher is livelier.</source>
            <translation>0 表示始终选择概率最高的词；数值越高，回答越多样。</translation>
        </message>
        <message>
            <source>&amp;Longest answer</source>
            <translation>最大长度(&amp;L)</translation>
        </message>
        <message>
            <source>In tokens.</source>
            <translation>以 token 计。</translation>
        </message>
        <message>
            <source>&amp;Seed</source>
            <translation>随机种子(&amp;S)</translation>
        </message>
        <message>
            <source>The same seed gives the same answer; empty is different each time.</source>
            <translation>种子相同则回答相同；留空则每次不同。</translation>
        </message>
        <message>
            <source>S&amp;ystem prompt</source>
            <translation>系统提示词(&amp;Y)</translation>
        </message>
        <message>
            <source>Said to the model before the conversation.</source>
            <translation>在对话开始前告知模型的内容。</translation>
        </message>
        <message>
            <source>random</source>
            <translation>随机</translation>
        </message>
    </context>
    <context>
        <name>DeployForm</name>
        <message>
            <source>None: the base model alone</source>
            <translation>不使用：仅基础模型</translation>
        </message>
        <message>
            <source>Choose a model.</source>
            <translation>请选择模型。</translation>
        </message>
        <message>
            <source>Enter an address, for example 127.0.0.1.</source>
            <translation>请输入地址，例如 127.0.0.1。</translation>
        </message>
        <message>
            <source>Enter auto, cpu, cuda or cuda:0.</source>
            <translation>请输入 auto、cpu、cuda 或 cuda:0。</translation>
        </message>
        <message>
            <source>This value is not possible.</source>
            <translation>该值无效。</translation>
        </message>
        <message>
            <source>More models…</source>
            <translation>更多模型…</translation>
        </message>
        <message>
            <source>Train an adapter for this model</source>
            <translation>为此模型训练适配器</translation>
        </message>
        <message>
            <source>All settings</source>
            <translation>全部设置</translation>
        </message>
        <message>
            <source>Start the API</source>
            <translation>启动 API</translation>
        </message>
        <message>
            <source>What happens then</source>
            <translation>启动之后</translation>
        </message>
        <message>
            <source>A process of its own loads the model and answers on this computer alone.</source>
            <translation>独立进程加载模型并提供服务，仅限本机访问。</translation>
        </message>
        <message>
            <source>Programs that speak to OpenAI can speak to it: address and key are shown.</source>
            <translation>支持 OpenAI 接口的程序均可接入，页面会显示地址和密钥。</translation>
        </message>
        <message>
            <source>It goes on when this window is closed, until you stop it.</source>
            <translation>关闭窗口后服务继续运行，直到手动停止。</translation>
        </message>
        <message>
            <source>With an adapter, the base model stays available beside it to compare.</source>
            <translation>使用适配器时，基础模型仍可同时访问，便于对比。</translation>
        </message>
        <message>
            <source>&amp;Model</source>
            <translation>模型(&amp;M)</translation>
        </message>
        <message>
            <source>What answers the requests.</source>
            <translation>用于回答请求的模型。</translation>
        </message>
        <message>
            <source>&amp;Adapter</source>
            <translation>适配器(&amp;A)</translation>
        </message>
        <message>
            <source>What a training run on this model has learned.</source>
            <translation>在此模型上训练得到的结果。</translation>
        </message>
        <message>
            <source>&amp;Port</source>
            <translation>端口(&amp;P)</translation>
        </message>
        <message>
            <source>0 takes any free one.</source>
            <translation>填 0 自动选择空闲端口。</translation>
        </message>
        <message>
            <source>&amp;Address</source>
            <translation>地址(&amp;A)</translation>
        </message>
        <message>
            <source>127.0.0.1 is this computer alone. Any other lets others in, with the key.</source>
            <translation>127.0.0.1 仅限本机；其他地址允许持有密钥的人从外部访问。</translation>
        </message>
        <message>
            <source>P&amp;recision</source>
            <translation>精度(&amp;R)</translation>
        </message>
        <message>
            <source>auto: bf16 on a card that has it, fp32 on the CPU.</source>
            <translation>auto：支持 bf16 的显卡使用 bf16，CPU 使用 fp32。</translation>
        </message>
        <message>
            <source>requests</source>
            <translation>个请求</translation>
        </message>
        <message>
            <source>tokens</source>
            <translation>token</translation>
        </message>
        <message>
            <source>&amp;Device</source>
            <translation>设备(&amp;D)</translation>
        </message>
        <message>
            <source>auto, cpu, cuda or cuda:0.</source>
            <translation>auto、cpu、cuda 或 cuda:0。</translation>
        </message>
        <message>
            <source>&amp;Together</source>
            <translation>并发数(&amp;T)</translation>
        </message>
        <message>
            <source>Answers that are written at the same time.</source>
            <translation>同时生成的回答数量。</translation>
        </message>
        <message>
            <source>&amp;Queue</source>
            <translation>队列(&amp;Q)</translation>
        </message>
        <message>
            <source>As many may wait; more are told to come again.</source>
            <translation>允许排队的请求数，超出的请求会被告知稍后重试。</translation>
        </message>
        <message>
            <source>&amp;Longest answer</source>
            <translation>最大长度(&amp;L)</translation>
        </message>
        <message>
            <source>The most a program may ask for.</source>
            <translation>程序可请求的最大长度。</translation>
        </message>
        <message>
            <source>&amp;Usual answer</source>
            <translation>默认长度(&amp;U)</translation>
        </message>
        <message>
            <source>When a program does not say how long.</source>
            <translation>程序未指定长度时使用。</translation>
        </message>
    </context>
    <context>
        <name>DeployLive</name>
        <message>
            <source>Loading {name}</source>
            <translation>正在加载 {name}</translation>
        </message>
        <message>
            <source>Warming up</source>
            <translation>正在预热</translation>
        </message>
        <message>
            <source>Starting the process</source>
            <translation>正在启动进程</translation>
        </message>
        <message>
            <source>target ≥ {n}</source>
            <translation>目标 ≥ {n}</translation>
        </message>
        <message>
            <source>target &lt; {n} ms</source>
            <translation>目标 &lt; {n} ms</translation>
        </message>
        <message>
            <source>tokens/s</source>
            <translation>token/s</translation>
        </message>
        <message>
            <source>answering + waiting, limit {n}</source>
            <translation>生成中 + 排队，上限 {n}</translation>
        </message>
        <message>
            <source>of this process</source>
            <translation>本进程占用</translation>
        </message>
        <message>
            <source>target &lt; {n}</source>
            <translation>目标 &lt; {n}</translation>
        </message>
        <message>
            <source>target {n}</source>
            <translation>目标 {n}</translation>
        </message>
        <message>
            <source>How programs reach it</source>
            <translation>接入方式</translation>
        </message>
        <message>
            <source>Address</source>
            <translation>地址</translation>
        </message>
        <message>
            <source>The base URL for OpenAI clients.</source>
            <translation>OpenAI 客户端使用的 Base URL。</translation>
        </message>
        <message>
            <source>API key</source>
            <translation>API 密钥</translation>
        </message>
        <message>
            <source>Sent with every request.</source>
            <translation>每个请求都需要携带。</translation>
        </message>
        <message>
            <source>Try it in a terminal</source>
            <translation>在终端中试用</translation>
        </message>
        <message>
            <source>What is copied contains the key.</source>
            <translation>复制的内容包含密钥。</translation>
        </message>
        <message>
            <source>Command line</source>
            <translation>命令行</translation>
        </message>
        <message>
            <source>Requests per second</source>
            <translation>每秒请求数</translation>
        </message>
        <message>
            <source>P99, whole answer</source>
            <translation>P99，完整回答</translation>
        </message>
        <message>
            <source>First token P50</source>
            <translation>首字延迟 P50</translation>
        </message>
        <message>
            <source>Speed</source>
            <translation>速度</translation>
        </message>
        <message>
            <source>Load</source>
            <translation>负载</translation>
        </message>
        <message>
            <source>Memory</source>
            <translation>内存</translation>
        </message>
        <message>
            <source>Latency P50, P99</source>
            <translation>延迟 P50、P99</translation>
        </message>
        <message>
            <source>Requests</source>
            <translation>请求</translation>
        </message>
        <message>
            <source>Nobody has asked yet. Chat with it, or use the line.</source>
            <translation>还没有请求。可以打开对话，或使用上面的命令。</translation>
        </message>
        <message>
            <source>Time</source>
            <translation>时间</translation>
        </message>
        <message>
            <source>Route</source>
            <translation>接口</translation>
        </message>
        <message>
            <source>Tokens in / out</source>
            <translation>输入 / 输出</translation>
        </message>
        <message>
            <source>First token</source>
            <translation>首字</translation>
        </message>
        <message>
            <source>Total</source>
            <translation>总耗时</translation>
        </message>
        <message>
            <source>State</source>
            <translation>状态</translation>
        </message>
        <message>
            <source>done</source>
            <translation>完成</translation>
        </message>
        <message>
            <source>length reached</source>
            <translation>达到长度上限</translation>
        </message>
        <message>
            <source>client left</source>
            <translation>客户端已断开</translation>
        </message>
        <message>
            <source>refused</source>
            <translation>已拒绝</translation>
        </message>
    </context>
    <context>
        <name>DeployPage</name>
        <message>
            <source>Copy key</source>
            <translation>复制密钥</translation>
        </message>
        <message>
            <source>The API key, for other programs</source>
            <translation>供其他程序使用的 API 密钥</translation>
        </message>
        <message>
            <source>Open in chat</source>
            <translation>打开对话</translation>
        </message>
        <message>
            <source>Other settings</source>
            <translation>更改设置</translation>
        </message>
        <message>
            <source>Choose model, adapter and port anew</source>
            <translation>重新选择模型、适配器和端口</translation>
        </message>
        <message>
            <source>Local API</source>
            <translation>本地 API</translation>
        </message>
        <message>
            <source>Serve a model to programs on this computer.</source>
            <translation>为本机程序提供模型服务。</translation>
        </message>
        <message>
            <source>Start again</source>
            <translation>重新启动</translation>
        </message>
        <message>
            <source>Stop faster</source>
            <translation>加快停止</translation>
        </message>
        <message>
            <source>Do not wait for open requests</source>
            <translation>不再等待未完成的请求</translation>
        </message>
        <message>
            <source>Stop</source>
            <translation>停止</translation>
        </message>
        <message>
            <source>Finish open requests, then end the process</source>
            <translation>处理完未完成的请求后结束进程</translation>
        </message>
        <message>
            <source>{n} tokens of context</source>
            <translation>上下文 {n} token</translation>
        </message>
        <message>
            <source>goes on when this window is closed</source>
            <translation>关闭窗口后继续运行</translation>
        </message>
    </context>
</TS>
