<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" language="zh_CN" sourcelanguage="en_US">
    <context>
        <name>AccessCard</name>
        <message>
            <source>Why it runs like this</source>
            <translation>选择依据</translation>
        </message>
        <message>
            <source>Address and key</source>
            <translation>地址与密钥</translation>
        </message>
        <message>
            <source>Address</source>
            <translation type="unfinished">地址</translation>
        </message>
        <message>
            <source>The base URL for every program that speaks to OpenAI.</source>
            <translation>供所有兼容 OpenAI 的程序使用的基础 URL。</translation>
        </message>
        <message>
            <source>API key</source>
            <translation type="unfinished">API 密钥</translation>
        </message>
        <message>
            <source>Sent with every request.</source>
            <translation type="unfinished">每个请求都需要携带。</translation>
        </message>
        <message>
            <source>Model name</source>
            <translation>模型名称</translation>
        </message>
        <message>
            <source>Adapters are models of their own, beside the base model.</source>
            <translation>适配器与基础模型并列，各自作为一个模型。</translation>
        </message>
        <message>
            <source>More keys…</source>
            <translation>更多密钥…</translation>
        </message>
        <message>
            <source>One for each program, with limits and an end</source>
            <translation>每个程序一个，可设限额和有效期</translation>
        </message>
    </context>
    <context>
        <name>AdapterLine</name>
        <message>
            <source>The base model, without an adapter</source>
            <translation>基础模型，不带适配器</translation>
        </message>
        <message>
            <source>Adapter</source>
            <translation>适配器</translation>
        </message>
        <message>
            <source>answers by default</source>
            <translation>默认应答</translation>
        </message>
        <message>
            <source>Make default</source>
            <translation>设为默认</translation>
        </message>
        <message>
            <source>Unload</source>
            <translation>卸载</translation>
        </message>
    </context>
    <context>
        <name>AdapterPicker</name>
        <message>
            <source>Folder with an adapter</source>
            <translation>适配器所在文件夹</translation>
        </message>
        <message>
            <source>No training of this model has an adapter yet.</source>
            <translation>该模型还没有训练出适配器。</translation>
        </message>
        <message>
            <source>Adapter from a folder…</source>
            <translation>从文件夹选择适配器…</translation>
        </message>
    </context>
    <context>
        <name>AdaptersCard</name>
        <message>
            <source>No other training of this model has an adapter</source>
            <translation>该模型没有其他带适配器的训练</translation>
        </message>
        <message>
            <source>Folder with an adapter</source>
            <translation>适配器所在文件夹</translation>
        </message>
        <message>
            <source>Adapters</source>
            <translation>适配器</translation>
        </message>
        <message>
            <source>Each is a model name of its own. Swapping drops no request: open ones of an adapter are finished before it is unloaded.</source>
            <translation>每个适配器都有自己的模型名称。切换不会丢弃请求：适配器上未完成的请求处理完后才会卸载。</translation>
        </message>
        <message>
            <source>Load another one</source>
            <translation>加载其他适配器</translation>
        </message>
        <message>
            <source>From a training of the same model.</source>
            <translation>来自同一模型的训练。</translation>
        </message>
        <message>
            <source>Load</source>
            <translation>加载</translation>
        </message>
        <message>
            <source>Folder…</source>
            <translation>文件夹…</translation>
        </message>
        <message>
            <source>An adapter from elsewhere</source>
            <translation>来自其他位置的适配器</translation>
        </message>
    </context>
    <context>
        <name>AdvancedCard</name>
        <message>
            <source>All settings</source>
            <translation type="unfinished">全部设置</translation>
        </message>
        <message>
            <source>automatic</source>
            <translation>自动</translation>
        </message>
        <message>
            <source>Everything can also be given on the command line: deepdeck serve --set</source>
            <translation>所有设置也可在命令行中指定：deepdeck serve --set</translation>
        </message>
    </context>
    <context>
        <name>AnswerBubble</name>
        <message>
            <source>Try again</source>
            <translation>重试</translation>
        </message>
        <message>
            <source>Shorter conversation</source>
            <translation>更短的对话</translation>
        </message>
        <message>
            <source>Begin a new one with this question; the present one stays if you saved it</source>
            <translation>用这个问题开始一个新对话；当前对话若已保存则会保留</translation>
        </message>
        <message>
            <source>Continue</source>
            <translation>继续</translation>
        </message>
        <message>
            <source>Let the model write on from here</source>
            <translation>让模型从这里接着写</translation>
        </message>
        <message>
            <source>Earlier version</source>
            <translation>上一个版本</translation>
        </message>
        <message>
            <source>Later version</source>
            <translation>下一个版本</translation>
        </message>
        <message>
            <source>Answer again; this version stays</source>
            <translation>重新回答；保留当前版本</translation>
        </message>
        <message>
            <source>Copy the answer</source>
            <translation>复制回答</translation>
        </message>
    </context>
    <context>
        <name>BusyDialog</name>
        <message>
            <source>An API uses this card</source>
            <translation>显卡正被 API 占用</translation>
        </message>
        <message>
            <source>The API {name} runs on this card</source>
            <translation>API {name} 正在这张显卡上运行</translation>
        </message>
        <message>
            <source>A training uses this card</source>
            <translation>显卡正被训练占用</translation>
        </message>
        <message>
            <source>{name} is training on this card</source>
            <translation>{name} 正在这张显卡上训练</translation>
        </message>
        <message>
            <source>Cancel</source>
            <translation>取消</translation>
        </message>
        <message>
            <source>Start nothing</source>
            <translation>不启动任何任务</translation>
        </message>
        <message>
            <source>Do it like this</source>
            <translation>按此执行</translation>
        </message>
        <message>
            <source>It holds {held} of {total} GiB on {device}.</source>
            <translation>占用 {device} 的 {held} / {total} GiB 显存。</translation>
        </message>
        <message>
            <source>{used} of {total} GiB on {device} are in use.</source>
            <translation>{device} 已使用 {used} / {total} GiB 显存。</translation>
        </message>
        <message>
            <source>What you start needs {n} GiB at the least.</source>
            <translation>即将启动的任务至少需要 {n} GiB。</translation>
        </message>
        <message>
            <source>Both get slower. It fits as it is set.</source>
            <translation>两者都会变慢。按当前设置可以放下。</translation>
        </message>
        <message>
            <source>Both get slower. To fit, conversations are limited to {context} tokens and {batch} at a time.</source>
            <translation>两者都会变慢。为放得下，对话限制为 {context} 个 token，同时最多 {batch} 个。</translation>
        </message>
        <message>
            <source>Take what is left of the card</source>
            <translation>使用显卡的剩余部分</translation>
        </message>
        <message>
            <source>Pause the training and start</source>
            <translation>暂停训练并启动</translation>
        </message>
        <message>
            <source>It finishes its step and moves to the computer's memory. You are asked to let it go on when the API ends; nothing is lost.</source>
            <translation>训练完成当前步后移入电脑内存。API 结束时会询问是否继续训练，不会丢失任何进度。</translation>
        </message>
        <message>
            <source>Wait in the queue</source>
            <translation>在队列中等待</translation>
        </message>
        <message>
            <source>The API starts by itself when the training has ended.</source>
            <translation>训练结束后 API 会自动启动。</translation>
        </message>
        <message>
            <source>Train beside it</source>
            <translation>同时训练</translation>
        </message>
        <message>
            <source>Both get slower. The forecast fits into what is free now.</source>
            <translation>两者都会变慢。按预估，当前空闲显存足够。</translation>
        </message>
        <message>
            <source>Stop the API and train</source>
            <translation>停止 API 并开始训练</translation>
        </message>
        <message>
            <source>Open requests are finished first. Start it again when you like.</source>
            <translation>会先处理完未完成的请求，之后可随时重新启动。</translation>
        </message>
        <message>
            <source>The training starts by itself when the API has ended.</source>
            <translation>API 结束后训练会自动开始。</translation>
        </message>
    </context>
    <context>
        <name>CardQuestion</name>
        <message>
            <source>{names} computes on this processor too: both get slower.</source>
            <translation>{names} 也在使用这颗处理器：两者都会变慢。</translation>
        </message>
    </context>
    <context>
        <name>ChatFiles</name>
        <message>
            <source>The conversation was saved</source>
            <translation>对话已保存</translation>
        </message>
        <message>
            <source>Markdown (*.md)</source>
            <translation>Markdown (*.md)</translation>
        </message>
        <message>
            <source>JSON (*.json)</source>
            <translation>JSON (*.json)</translation>
        </message>
        <message>
            <source>Training data (*.jsonl)</source>
            <translation>训练数据 (*.jsonl)</translation>
        </message>
        <message>
            <source>Export the conversation</source>
            <translation>导出对话</translation>
        </message>
        <message>
            <source>Question</source>
            <translation>问题</translation>
        </message>
        <message>
            <source>System prompt</source>
            <translation>系统提示词</translation>
        </message>
        <message>
            <source>Thought</source>
            <translation>思考过程</translation>
        </message>
        <message>
            <source>There is no complete answer yet: nothing to train on.</source>
            <translation>还没有完整的回答，没有可用于训练的内容。</translation>
        </message>
        <message>
            <source>Exported to {path}</source>
            <translation>已导出到 {path}</translation>
        </message>
        <message>
            <source>{path}: one sample a model that answered, with the system prompt and complete answers, without thoughts. Correct what should not be learned.</source>
            <translation>{path}：每个作答的模型一条样本，包含系统提示词和完整的回答，不含思考过程。不该学的内容请先改正。</translation>
        </message>
        <message>
            <source>Open on the Data page</source>
            <translation>在数据页打开</translation>
        </message>
    </context>
    <context>
        <name>ChatPage</name>
        <message>
            <source>A new conversation; the last one was not saved</source>
            <translation>已开始新对话；上一个对话没有保存</translation>
        </message>
        <message>
            <source>Bring it back</source>
            <translation>找回</translation>
        </message>
        <message>
            <source>“{title}” was deleted</source>
            <translation>已删除“{title}”</translation>
        </message>
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
            <source>Ask something. Nothing leaves this computer, and nothing is stored unless you save it.</source>
            <translation>问点什么吧。内容不会离开这台电脑，不主动保存就不会留存。</translation>
        </message>
        <message>
            <source>To the end</source>
            <translation>到末尾</translation>
        </message>
        <message>
            <source>You edit an earlier question; what follows is replaced.</source>
            <translation>正在编辑之前的问题；其后的内容会被替换。</translation>
        </message>
        <message>
            <source>Leave it as it was</source>
            <translation>不改了</translation>
        </message>
        <message>
            <source>Undo</source>
            <translation>撤销</translation>
        </message>
        <message>
            <source>Take back the last edit or deletion</source>
            <translation>撤销上一次编辑或删除</translation>
        </message>
        <message>
            <source>Begin anew (Ctrl+N)</source>
            <translation>重新开始 (Ctrl+N)</translation>
        </message>
        <message>
            <source>Save</source>
            <translation>保存</translation>
        </message>
        <message>
            <source>Keep this conversation</source>
            <translation>保存这个对话</translation>
        </message>
        <message>
            <source>Export</source>
            <translation>导出</translation>
        </message>
        <message>
            <source>Export as Markdown…</source>
            <translation>导出为 Markdown…</translation>
        </message>
        <message>
            <source>Export as JSON…</source>
            <translation>导出为 JSON…</translation>
        </message>
        <message>
            <source>Export as training data…</source>
            <translation>导出为训练数据…</translation>
        </message>
        <message>
            <source>Show or hide the settings</source>
            <translation>显示或隐藏设置</translation>
        </message>
        <message>
            <source>Settings</source>
            <translation>设置</translation>
        </message>
        <message>
            <source>Saved</source>
            <translation>已保存</translation>
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
            <source>New conversation</source>
            <translation>新对话</translation>
        </message>
    </context>
    <context>
        <name>ChatSettingsCard</name>
        <message>
            <source>Nobody</source>
            <translation>无</translation>
        </message>
        <message>
            <source>Who answers</source>
            <translation>由谁回答</translation>
        </message>
        <message>
            <source>System prompt</source>
            <translation>系统提示词</translation>
        </message>
        <message>
            <source>&amp;Model</source>
            <translation>模型(&amp;M)</translation>
        </message>
        <message>
            <source>All models of the servers that run now.</source>
            <translation>正在运行的服务的所有模型。</translation>
        </message>
        <message>
            <source>Side by side &amp;with</source>
            <translation>并排对比(&amp;W)</translation>
        </message>
        <message>
            <source>Gets the same questions; its answers stand beside.</source>
            <translation>向它提同样的问题，回答并排显示。</translation>
        </message>
    </context>
    <context>
        <name>ChatWords</name>
        <message>
            <source>The conversation has {prompt} tokens, but the model holds {room}, the answer included. Begin a shorter conversation, or delete earlier questions.</source>
            <translation>对话有 {prompt} 个 token，而模型连同回答最多容纳 {room} 个。请开始一个更短的对话，或删除之前的问题。</translation>
        </message>
        <message>
            <source>The connection broke before the end; the server stopped or started anew. What was said until then stays.</source>
            <translation>回答未完成时连接中断：服务停止或重启了。已有的内容会保留。</translation>
        </message>
        <message>
            <source>The server refused: {words}</source>
            <translation>服务拒绝了请求：{words}</translation>
        </message>
        <message>
            <source>The server does not answer: it was stopped or is starting anew. Look at the Deploy page.</source>
            <translation>服务没有响应：已停止或正在重启。请查看部署页。</translation>
        </message>
        <message>
            <source>The connection broke before the first word. Try again.</source>
            <translation>还没有开始回答，连接就中断了。请重试。</translation>
        </message>
        <message>
            <source>The request was ended on the Deploy page.</source>
            <translation>请求已在部署页被终止。</translation>
        </message>
        <message>
            <source>The API key has expired. Make another on the Deploy page.</source>
            <translation>API 密钥已过期。请在部署页新建一个。</translation>
        </message>
        <message>
            <source>This model is not served any more, or its adapter was unloaded. Choose another.</source>
            <translation>该模型已不再提供服务，或其适配器已卸载。请换一个。</translation>
        </message>
        <message>
            <source>The API key may not use this model.</source>
            <translation>该 API 密钥无权使用这个模型。</translation>
        </message>
        <message>
            <source>The model is still being loaded. Try again in a moment.</source>
            <translation>模型仍在加载，请稍后重试。</translation>
        </message>
        <message>
            <source>The engine failed and is started again. Try again in a moment.</source>
            <translation>推理引擎出错，正在重启。请稍后重试。</translation>
        </message>
        <message>
            <source>The engine failed at this answer and is started again. Try again in a moment.</source>
            <translation>推理引擎在生成这个回答时出错，正在重启。请稍后重试。</translation>
        </message>
        <message>
            <source>The engine is being started again. Try again soon.</source>
            <translation>推理引擎正在重启，请稍后重试。</translation>
        </message>
        <message>
            <source>The server took too long for this answer and gave up.</source>
            <translation>服务生成这个回答耗时过长，已放弃。</translation>
        </message>
        <message>
            <source>The engine that serves this model cannot do this, for example answer in a form. Change the advanced settings.</source>
            <translation>当前推理引擎不支持这项功能（例如按指定格式回答）。请调整高级设置。</translation>
        </message>
        <message>
            <source>The server refuses the API key. Start it anew on the Deploy page.</source>
            <translation>服务不接受当前 API 密钥。请在部署页重新启动服务。</translation>
        </message>
        <message>
            <source>Too many requests for this API key. Try again in a moment.</source>
            <translation>该 API 密钥的请求过多，请稍后重试。</translation>
        </message>
        <message>
            <source>The server is full or not ready. Try again in a moment.</source>
            <translation>服务已满或尚未就绪，请稍后重试。</translation>
        </message>
        <message>
            <source>This API key has asked too often.</source>
            <translation>该 API 密钥的请求过于频繁。</translation>
        </message>
        <message>
            <source>The server is full or not ready.</source>
            <translation>服务已满或尚未就绪。</translation>
        </message>
        <message>
            <source>{why} Asked again in {n} s.</source>
            <translation>{why}{n} 秒后自动重试。</translation>
        </message>
        <message>
            <source>first token {n} ms</source>
            <translation>首 token {n} ms</translation>
        </message>
        <message>
            <source>{n} tokens/s</source>
            <translation type="unfinished">{n} token/s</translation>
        </message>
        <message>
            <source>{n} out</source>
            <translation>输出 {n}</translation>
        </message>
        <message>
            <source>{n} tokens were read, {c} of them known from before and not computed again.</source>
            <translation>读入 {n} 个 token，其中 {c} 个命中缓存，无需重新计算。</translation>
        </message>
        <message>
            <source>{o} tokens were written, {t} of them thoughts.</source>
            <translation>生成 {o} 个 token，其中 {t} 个为思考过程。</translation>
        </message>
        <message>
            <source>{n} in ({c} cached)</source>
            <translation>输入 {n}，其中缓存 {c}</translation>
        </message>
        <message>
            <source>{n} in</source>
            <translation>输入 {n}</translation>
        </message>
        <message>
            <source>complete</source>
            <translation>已完成</translation>
        </message>
        <message>
            <source>cut at the limit of tokens</source>
            <translation>达到长度上限被截断</translation>
        </message>
        <message>
            <source>stopped by you</source>
            <translation type="unfinished">已手动停止</translation>
        </message>
        <message>
            <source>asks for a tool</source>
            <translation type="unfinished">请求工具</translation>
        </message>
        <message>
            <source>not complete</source>
            <translation>未完成</translation>
        </message>
        <message>
            <source>Thinking{dots} {n} s · {tokens} tokens</source>
            <translation>正在思考{dots} {n} 秒 · {tokens} token</translation>
        </message>
        <message>
            <source>Thought for {n} s · {tokens} tokens</source>
            <translation>思考了 {n} 秒 · {tokens} token</translation>
        </message>
        <message>
            <source>Thought</source>
            <translation>思考过程</translation>
        </message>
    </context>
    <context>
        <name>CodeBlock</name>
        <message>
            <source>Copy the code</source>
            <translation>复制代码</translation>
        </message>
        <message>
            <source>Code</source>
            <translation>代码</translation>
        </message>
    </context>
    <context>
        <name>DeployFieldTexts</name>
        <message>
            <source>Automatic</source>
            <translation>自动</translation>
        </message>
        <message>
            <source>DeepDeck chooses by model and machine, and says why.</source>
            <translation>DeepDeck 根据模型和机器选择，并说明原因。</translation>
        </message>
        <message>
            <source>DeepDeck's own</source>
            <translation>DeepDeck 自有引擎</translation>
        </message>
        <message>
            <source>The fastest here for Llama, Qwen and DeepSeek models, on a card or the processor.</source>
            <translation>运行 Llama、Qwen 和 DeepSeek 模型时最快，显卡和处理器均可。</translation>
        </message>
        <message>
            <source>transformers</source>
            <translation>transformers</translation>
        </message>
        <message>
            <source>Runs nearly every model, but slower. For those that DeepDeck's own engine does not know.</source>
            <translation>几乎支持所有模型，但较慢。用于自有引擎不支持的模型。</translation>
        </message>
        <message>
            <source>vLLM</source>
            <translation>vLLM</translation>
        </message>
        <message>
            <source>For many users and several cards or computers. Linux or WSL, installed in an environment of its own.</source>
            <translation>适合大量用户、多张显卡或多台电脑。需要 Linux 或 WSL，安装在独立环境中。</translation>
        </message>
        <message>
            <source>llama.cpp</source>
            <translation>llama.cpp</translation>
        </message>
        <message>
            <source>For GGUF files, also on small machines. Needs the llama-server program.</source>
            <translation>用于 GGUF 文件，低配机器也可运行。需要 llama-server 程序。</translation>
        </message>
        <message>
            <source>16 bits where they fit into the card, else 4; 32 on the processor.</source>
            <translation>显存足够时用 16 位，否则用 4 位；处理器上用 32 位。</translation>
        </message>
        <message>
            <source>bf16</source>
            <translation>bf16</translation>
        </message>
        <message>
            <source>16 bits, full quality; cards from 2020 on.</source>
            <translation>16 位，完整质量；适用于 2020 年以后的显卡。</translation>
        </message>
        <message>
            <source>fp16</source>
            <translation>fp16</translation>
        </message>
        <message>
            <source>16 bits for older cards, such as the T4.</source>
            <translation>16 位，适用于 T4 等较旧的显卡。</translation>
        </message>
        <message>
            <source>fp32</source>
            <translation>fp32</translation>
        </message>
        <message>
            <source>32 bits: twice the memory; for the processor.</source>
            <translation>32 位：内存加倍；用于处理器。</translation>
        </message>
        <message>
            <source>8-bit</source>
            <translation>8 位</translation>
        </message>
        <message>
            <source>Half the memory for the weights, slower. Needs bitsandbytes.</source>
            <translation>权重内存减半，速度较慢。需要 bitsandbytes。</translation>
        </message>
        <message>
            <source>4-bit</source>
            <translation>4 位</translation>
        </message>
        <message>
            <source>A quarter of the memory for the weights, a little less quality: a way to fit a model. Needs bitsandbytes.</source>
            <translation>权重内存降至四分之一，质量略有下降：用于放下较大的模型。需要 bitsandbytes。</translation>
        </message>
        <message>
            <source>Choose a model.</source>
            <translation type="unfinished">请选择模型。</translation>
        </message>
        <message>
            <source>Enter an address, for example 127.0.0.1.</source>
            <translation type="unfinished">请输入地址，例如 127.0.0.1。</translation>
        </message>
        <message>
            <source>Names or addresses alone, without http:// and paths: host.docker.internal.</source>
            <translation>仅填写主机名或地址，不含 http:// 和路径，例如 host.docker.internal。</translation>
        </message>
        <message>
            <source>Each with its scheme and without a path: http://localhost:3000. A * for all pages is refused: any page that is open could ask then.</source>
            <translation>每个来源需含协议、不含路径，例如 http://localhost:3000。不接受表示全部网页的 *：否则任何打开的网页都能发起请求。</translation>
        </message>
        <message>
            <source>Choose the Python of an environment with vLLM.</source>
            <translation>请选择装有 vLLM 的环境中的 Python。</translation>
        </message>
        <message>
            <source>Choose the llama-server program.</source>
            <translation>请选择 llama-server 程序。</translation>
        </message>
        <message>
            <source>This value is not possible.</source>
            <translation type="unfinished">该值无效。</translation>
        </message>
        <message>
            <source>&amp;Model</source>
            <translation type="unfinished">模型(&amp;M)</translation>
        </message>
        <message>
            <source>What answers the requests.</source>
            <translation type="unfinished">用于回答请求的模型。</translation>
        </message>
        <message>
            <source>&amp;Adapters</source>
            <translation>适配器(&amp;A)</translation>
        </message>
        <message>
            <source>What trainings on this model have learned; each becomes a model name beside the base model. The first one answers by default.</source>
            <translation>该模型训练所得的成果；每个适配器与基础模型并列，各有自己的模型名称。默认由第一个应答。</translation>
        </message>
        <message>
            <source>&amp;Engine</source>
            <translation>引擎(&amp;E)</translation>
        </message>
        <message>
            <source>P&amp;recision</source>
            <translation type="unfinished">精度(&amp;R)</translation>
        </message>
        <message>
            <source>&amp;Device</source>
            <translation type="unfinished">设备(&amp;D)</translation>
        </message>
        <message>
            <source>Where the model runs.</source>
            <translation>模型在哪里运行。</translation>
        </message>
        <message>
            <source>Use the computer's memory too</source>
            <translation>同时使用电脑内存</translation>
        </message>
        <message>
            <source>What the card cannot hold stays outside: it works, but slowly.</source>
            <translation>显卡放不下的部分留在内存中：可以运行，但很慢。</translation>
        </message>
        <message>
            <source>Remember beginnings of prompts</source>
            <translation>记住提示词开头</translation>
        </message>
        <message>
            <source>A chat that goes on, or a system prompt that all share, is read once.</source>
            <translation>持续的对话或共用的系统提示词只需读取一次。</translation>
        </message>
        <message>
            <source>CUDA graphs</source>
            <translation>CUDA 图</translation>
        </message>
        <message>
            <source>Faster answers for a few seconds more at the start.</source>
            <translation>启动时多花几秒，换来更快的回答。</translation>
        </message>
        <message>
            <source>Fold the adapter into the weights</source>
            <translation>将适配器合并到权重</translation>
        </message>
        <message>
            <source>Faster, but the base model is not there beside it.</source>
            <translation>更快，但不再同时提供基础模型。</translation>
        </message>
        <message>
            <source>&amp;Port</source>
            <translation type="unfinished">端口(&amp;P)</translation>
        </message>
        <message>
            <source>0 takes any free one.</source>
            <translation type="unfinished">填 0 自动选择空闲端口。</translation>
        </message>
        <message>
            <source>Who may &amp;reach it</source>
            <translation>谁可以访问(&amp;R)</translation>
        </message>
        <message>
            <source>The key is asked for in any case.</source>
            <translation>任何情况下都需要密钥。</translation>
        </message>
        <message>
            <source>Address</source>
            <translation type="unfinished">地址</translation>
        </message>
        <message>
            <source>Of this computer, in the network to listen in.</source>
            <translation>本机在所监听网络中的地址。</translation>
        </message>
        <message>
            <source>More host names</source>
            <translation>其他主机名</translation>
        </message>
        <message>
            <source>Names under which programs ask, with commas: host.docker.internal.</source>
            <translation>程序访问时使用的名称，用逗号分隔：host.docker.internal。</translation>
        </message>
        <message>
            <source>Web pages that may ask</source>
            <translation>允许访问的网页</translation>
        </message>
        <message>
            <source>Origins with commas, such as http://localhost:3000. None by default.</source>
            <translation>来源地址，用逗号分隔，例如 http://localhost:3000。默认不允许。</translation>
        </message>
        <message>
            <source>Label answers as made by AI</source>
            <translation>标注回答由 AI 生成</translation>
        </message>
        <message>
            <source>In the text and in a header, as laws of some countries ask for.</source>
            <translation>在正文和响应头中标注，符合部分国家的法规要求。</translation>
        </message>
        <message>
            <source>Keep an audit log</source>
            <translation>记录审计日志</translation>
        </message>
        <message>
            <source>Who asked what kind of thing when; never the text.</source>
            <translation>记录谁在何时发出何种请求；绝不记录内容。</translation>
        </message>
        <message>
            <source>tokens</source>
            <translation type="unfinished">token</translation>
        </message>
        <message>
            <source>requests</source>
            <translation type="unfinished">个请求</translation>
        </message>
        <message>
            <source>Longest conversation</source>
            <translation>最长对话</translation>
        </message>
        <message>
            <source>Prompt and answer together; more memory a chat.</source>
            <translation>提示词与回答合计；越长，每个对话占用越多。</translation>
        </message>
        <message>
            <source>Answers at a time</source>
            <translation>同时回答数</translation>
        </message>
        <message>
            <source>More wait in the queue.</source>
            <translation>超出的在队列中等待。</translation>
        </message>
        <message>
            <source>Share of the card</source>
            <translation>显存占比</translation>
        </message>
        <message>
            <source>Of its memory, all programs together.</source>
            <translation>所有程序合计占显存的比例。</translation>
        </message>
        <message>
            <source>Prompt read in one step</source>
            <translation>每步读取的提示词</translation>
        </message>
        <message>
            <source>Smaller: long prompts hold up others less.</source>
            <translation>越小，长提示词对其他请求的影响越小。</translation>
        </message>
        <message>
            <source>Queue</source>
            <translation>队列</translation>
        </message>
        <message>
            <source>More are told to come again (503).</source>
            <translation>超出的会被告知稍后再试（503）。</translation>
        </message>
        <message>
            <source>Queue, prompt tokens</source>
            <translation>队列提示词 token 数</translation>
        </message>
        <message>
            <source>Whichever limit is met first.</source>
            <translation>以先达到的限制为准。</translation>
        </message>
        <message>
            <source>Longest answer</source>
            <translation>最长回答</translation>
        </message>
        <message>
            <source>The most a program may ask for.</source>
            <translation type="unfinished">程序可请求的最大长度。</translation>
        </message>
        <message>
            <source>Usual answer</source>
            <translation>默认回答长度</translation>
        </message>
        <message>
            <source>When a program does not say how long.</source>
            <translation type="unfinished">程序未指定长度时使用。</translation>
        </message>
        <message>
            <source>s</source>
            <translation>秒</translation>
        </message>
        <message>
            <source>Wait in the queue</source>
            <translation>在队列中等待</translation>
        </message>
        <message>
            <source>Longer waits are refused.</source>
            <translation>等待更久的会被拒绝。</translation>
        </message>
        <message>
            <source>Time for an answer</source>
            <translation>回答时限</translation>
        </message>
        <message>
            <source>Then it ends as it is.</source>
            <translation>到时即以现有内容结束。</translation>
        </message>
        <message>
            <source>Time to finish</source>
            <translation>收尾时间</translation>
        </message>
        <message>
            <source>For open requests when it stops.</source>
            <translation>停止时留给未完成请求的时间。</translation>
        </message>
        <message>
            <source>Restarts</source>
            <translation>重启次数</translation>
        </message>
        <message>
            <source>Of a crashed engine, before it gives up.</source>
            <translation>引擎崩溃后放弃前的重启次数。</translation>
        </message>
        <message>
            <source>Requests to remember</source>
            <translation>保留的请求数</translation>
        </message>
        <message>
            <source>In memory only, to open them in the chat; 0: none.</source>
            <translation>仅保存在内存中，可在对话中打开；0 表示不保留。</translation>
        </message>
        <message>
            <source>Python with vLLM</source>
            <translation>装有 vLLM 的 Python</translation>
        </message>
        <message>
            <source>The Python of an environment with vLLM, for example ~/vllm/bin/python.</source>
            <translation>装有 vLLM 的环境中的 Python，例如 ~/vllm/bin/python。</translation>
        </message>
        <message>
            <source>Cards for the model</source>
            <translation>模型使用的显卡数</translation>
        </message>
        <message>
            <source>It is split over so many.</source>
            <translation>模型分布在这么多张显卡上。</translation>
        </message>
        <message>
            <source>Ray cluster</source>
            <translation>Ray 集群</translation>
        </message>
        <message>
            <source>Address of several computers; empty: this one.</source>
            <translation>多台电脑的集群地址；留空表示仅本机。</translation>
        </message>
        <message>
            <source>llama-server program</source>
            <translation>llama-server 程序</translation>
        </message>
        <message>
            <source>From a release of llama.cpp.</source>
            <translation>来自 llama.cpp 的发布包。</translation>
        </message>
        <message>
            <source>Layers on the card</source>
            <translation>放在显卡上的层数</translation>
        </message>
        <message>
            <source>The rest runs on the processor.</source>
            <translation>其余在处理器上运行。</translation>
        </message>
    </context>
    <context>
        <name>DeployForm</name>
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
            <source>A process of its own loads the model and answers on this computer.</source>
            <translation>由独立进程加载模型，并在本机应答。</translation>
        </message>
        <message>
            <source>Should the engine crash, it is started again; the address stays.</source>
            <translation>引擎崩溃时会自动重启，地址不变。</translation>
        </message>
        <message>
            <source>Programs that speak to OpenAI can speak to it: address and key are shown.</source>
            <translation>支持 OpenAI 接口的程序均可接入，页面会显示地址和密钥。</translation>
        </message>
        <message>
            <source>It goes on when this window is closed, until you stop it.</source>
            <translation>关闭窗口后服务继续运行，直到手动停止。</translation>
        </message>
    </context>
    <context>
        <name>DeployLive</name>
        <message>
            <source>first token</source>
            <translation>首 token</translation>
        </message>
        <message>
            <source>target {n}</source>
            <translation>目标 {n}</translation>
        </message>
        <message>
            <source>Live</source>
            <translation>实时</translation>
        </message>
        <message>
            <source>Connect</source>
            <translation>接入</translation>
        </message>
        <message>
            <source>Adapters</source>
            <translation>适配器</translation>
        </message>
        <message>
            <source>Self-test</source>
            <translation>自测</translation>
        </message>
        <message>
            <source>Latency</source>
            <translation>延迟</translation>
        </message>
        <message>
            <source>Tokens per second</source>
            <translation>每秒 token 数</translation>
        </message>
        <message>
            <source>Requests per second</source>
            <translation>每秒请求数</translation>
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
            <source>Choose model, adapters and port anew</source>
            <translation>重新选择模型、适配器和端口</translation>
        </message>
        <message>
            <source>Local API</source>
            <translation>本地 API</translation>
        </message>
        <message>
            <source>Looking who uses the card …</source>
            <translation>正在检查显卡占用情况…</translation>
        </message>
        <message>
            <source>Serve a model to programs on this computer.</source>
            <translation>为本机程序提供模型服务。</translation>
        </message>
        <message>
            <source>open to the network</source>
            <translation>已对网络开放</translation>
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
            <source>engine restarting</source>
            <translation>引擎重启中</translation>
        </message>
        <message>
            <source>“{name}” could not be paused: {reason}</source>
            <translation>无法暂停“{name}”：{reason}</translation>
        </message>
        <message>
            <source>{names} was paused for the API</source>
            <translation>{names} 已为 API 暂停</translation>
        </message>
        <message>
            <source>Let it go on</source>
            <translation>继续训练</translation>
        </message>
        <message>
            <source>The adapters were changed</source>
            <translation>适配器已更改</translation>
        </message>
        <message>
            <source>The server did not do it. {reason}</source>
            <translation>服务器未执行。{reason}</translation>
        </message>
        <message>
            <source>The server does not remember this request any more.</source>
            <translation>服务器已不再保留该请求。</translation>
        </message>
    </context>
    <context>
        <name>ExposureCard</name>
        <message>
            <source>Others on your network can reach this API</source>
            <translation>网络中的其他人可以访问此 API</translation>
        </message>
        <message>
            <source>Others on your network will be able to reach this API</source>
            <translation>网络中的其他人将可以访问此 API</translation>
        </message>
        <message>
            <source>Addresses: {list}</source>
            <translation>地址：{list}</translation>
        </message>
        <message>
            <source>Every request needs the key, but nothing is encrypted: whoever listens on the network reads along. Use it in a network that you trust, give each program a key of its own, and never forward the port to the internet.</source>
            <translation>每个请求都需要密钥，但传输未加密：网络中的监听者可以看到内容。请只在可信网络中使用，为每个程序分配独立密钥，切勿将端口转发到互联网。</translation>
        </message>
    </context>
    <context>
        <name>ForecastCard</name>
        <message>
            <source>Not known for this model: it shows once the engine has loaded it.</source>
            <translation>无法预估该模型：引擎加载后会显示。</translation>
        </message>
        <message>
            <source>weights ({precision})</source>
            <translation>权重（{precision}）</translation>
        </message>
        <message>
            <source>adapters</source>
            <translation>适配器</translation>
        </message>
        <message>
            <source>computing</source>
            <translation>计算</translation>
        </message>
        <message>
            <source>driver and libraries</source>
            <translation>驱动与库</translation>
        </message>
        <message>
            <source>conversations (KV cache)</source>
            <translation>对话（KV 缓存）</translation>
        </message>
        <message>
            <source>in use by others</source>
            <translation>其他程序占用</translation>
        </message>
        <message>
            <source>It fits: {total} of {budget} GiB.</source>
            <translation>放得下：{total} / {budget} GiB。</translation>
        </message>
        <message>
            <source>It fits, and fills all {budget} GiB with conversations.</source>
            <translation>放得下，其余空间全部用于对话，共 {budget} GiB。</translation>
        </message>
        <message>
            <source>It fits with shorter conversations than the model could hold.</source>
            <translation>放得下，但对话长度短于模型上限。</translation>
        </message>
        <message>
            <source>It does not fit: {needed} GiB are needed, {budget} are free.</source>
            <translation>放不下：需要 {needed} GiB，可用 {budget} GiB。</translation>
        </message>
        <message>
            <source>Room for {tokens} tokens of conversation ({kib} KiB each):</source>
            <translation>可容纳 {tokens} 个对话 token（每个 {kib} KiB）：</translation>
        </message>
        <message>
            <source>at most {tokens} in one chat.</source>
            <translation>单个对话最多 {tokens} 个。</translation>
        </message>
        <message>
            <source>{whole} chats of {context} tokens at a time.</source>
            <translation>可同时进行 {whole} 个 {context} token 的对话。</translation>
        </message>
        <message>
            <source>{whole} chats of {context} tokens at a time, or {short} of {n}.</source>
            <translation>可同时进行 {whole} 个 {context} token 的对话，或 {short} 个 {n} token 的对话。</translation>
        </message>
        <message>
            <source>the computer's memory</source>
            <translation>电脑内存</translation>
        </message>
        <message>
            <source>On {name}: the line marks {share} of {total} GiB.</source>
            <translation>{name}：标线为 {total} GiB 的 {share}。</translation>
        </message>
        <message>
            <source>Limit conversations to {n} tokens</source>
            <translation>将对话限制为 {n} 个 token</translation>
        </message>
        <message>
            <source>Load it in 8 bits</source>
            <translation>以 8 位加载</translation>
        </message>
        <message>
            <source>Load it in 4 bits</source>
            <translation>以 4 位加载</translation>
        </message>
        <message>
            <source>Use the computer's memory too</source>
            <translation>同时使用电脑内存</translation>
        </message>
        <message>
            <source>Memory</source>
            <translation type="unfinished">内存</translation>
        </message>
    </context>
    <context>
        <name>HowCard</name>
        <message>
            <source>Automatic</source>
            <translation>自动</translation>
        </message>
        <message>
            <source>Processor</source>
            <translation>处理器</translation>
        </message>
        <message>
            <source>How it runs</source>
            <translation>如何运行</translation>
        </message>
        <message>
            <source>all</source>
            <translation>全部</translation>
        </message>
    </context>
    <context>
        <name>KeysDialog</name>
        <message>
            <source>Give it a name.</source>
            <translation>请输入名称。</translation>
        </message>
        <message>
            <source>The key “{name}”. Copy it now: it is kept only as a hash and cannot be shown again.</source>
            <translation>密钥“{name}”。请立即复制：系统只保存其哈希值，无法再次显示。</translation>
        </message>
        <message>
            <source>all</source>
            <translation>全部</translation>
        </message>
        <message>
            <source>never</source>
            <translation>从未使用</translation>
        </message>
        <message>
            <source>without end</source>
            <translation>永久有效</translation>
        </message>
        <message>
            <source>expired</source>
            <translation>已过期</translation>
        </message>
        <message>
            <source>{n} requests/min</source>
            <translation>{n} 次请求/分钟</translation>
        </message>
        <message>
            <source>{n} tokens/min</source>
            <translation>{n} token/分钟</translation>
        </message>
        <message>
            <source>{n} tokens/day</source>
            <translation>{n} token/天</translation>
        </message>
        <message>
            <source>none</source>
            <translation>无</translation>
        </message>
        <message>
            <source>API keys</source>
            <translation>API 密钥</translation>
        </message>
        <message>
            <source>The key on the page is yours. Give each other program one of its own: it can be limited, ends by itself, and can be revoked without disturbing the others.</source>
            <translation>页面上的密钥供您自己使用。请为其他程序分别创建密钥：可限额、可自动过期，吊销时不影响其他程序。</translation>
        </message>
        <message>
            <source>No further keys yet.</source>
            <translation>还没有其他密钥。</translation>
        </message>
        <message>
            <source>A new key</source>
            <translation>新密钥</translation>
        </message>
        <message>
            <source>Make the key</source>
            <translation>创建密钥</translation>
        </message>
        <message>
            <source>Revoke</source>
            <translation>吊销</translation>
        </message>
        <message>
            <source>Requests with it are refused within a second</source>
            <translation>一秒内即拒绝使用该密钥的请求</translation>
        </message>
        <message>
            <source>Close</source>
            <translation>关闭</translation>
        </message>
        <message>
            <source>Key</source>
            <translation>密钥</translation>
        </message>
        <message>
            <source>Made</source>
            <translation>创建时间</translation>
        </message>
        <message>
            <source>Ends</source>
            <translation>有效期</translation>
        </message>
        <message>
            <source>Limits</source>
            <translation>限额</translation>
        </message>
        <message>
            <source>Models</source>
            <translation>模型</translation>
        </message>
        <message>
            <source>Last used</source>
            <translation>上次使用</translation>
        </message>
        <message>
            <source>Name</source>
            <translation>名称</translation>
        </message>
        <message>
            <source>Which program; it stands in the table of requests.</source>
            <translation>用于哪个程序；会显示在请求列表中。</translation>
        </message>
        <message>
            <source>Then it is refused.</source>
            <translation>到期后将被拒绝。</translation>
        </message>
        <message>
            <source>Requests a minute</source>
            <translation>每分钟请求数</translation>
        </message>
        <message>
            <source>More get 429.</source>
            <translation>超出的返回 429。</translation>
        </message>
        <message>
            <source>Tokens a day</source>
            <translation>每日 token 数</translation>
        </message>
        <message>
            <source>Prompts and answers together; more get 429.</source>
            <translation>提示词与回答合计；超出的返回 429。</translation>
        </message>
        <message>
            <source>Names with commas between them; empty: all.</source>
            <translation>名称用逗号分隔；留空表示全部。</translation>
        </message>
        <message>
            <source>no limit</source>
            <translation>不限</translation>
        </message>
        <message>
            <source>in a week</source>
            <translation>一周后</translation>
        </message>
        <message>
            <source>in 30 days</source>
            <translation>30 天后</translation>
        </message>
        <message>
            <source>in 90 days</source>
            <translation>90 天后</translation>
        </message>
        <message>
            <source>in a year</source>
            <translation>一年后</translation>
        </message>
    </context>
    <context>
        <name>PathField</name>
        <message>
            <source>Choose a program</source>
            <translation>选择程序</translation>
        </message>
        <message>
            <source>Look for it</source>
            <translation>浏览</translation>
        </message>
    </context>
    <context>
        <name>PendingCard</name>
        <message>
            <source>“{name}” is being paused</source>
            <translation>正在暂停“{name}”</translation>
        </message>
        <message>
            <source>It finishes its step and gives the card free; then the API starts.</source>
            <translation>训练完成当前步并释放显卡后，API 即启动。</translation>
        </message>
        <message>
            <source>Do not start; let it go on</source>
            <translation>不启动，让训练继续</translation>
        </message>
        <message>
            <source>The API of {name} waits in the queue</source>
            <translation>{name} 的 API 正在队列中等待</translation>
        </message>
        <message>
            <source>It starts by itself when no training is on its card any more, as long as a window of DeepDeck is open.</source>
            <translation>当显卡上没有训练时会自动启动，前提是 DeepDeck 窗口保持打开。</translation>
        </message>
        <message>
            <source>Take it out of the queue</source>
            <translation>移出队列</translation>
        </message>
    </context>
    <context>
        <name>PromptsRow</name>
        <message>
            <source>None saved</source>
            <translation>没有保存的提示词</translation>
        </message>
        <message>
            <source>Saved prompts</source>
            <translation>已保存的提示词</translation>
        </message>
        <message>
            <source>Save the system prompt</source>
            <translation>保存系统提示词</translation>
        </message>
        <message>
            <source>Name</source>
            <translation type="unfinished">名称</translation>
        </message>
        <message>
            <source>Saved system prompts</source>
            <translation>已保存的系统提示词</translation>
        </message>
        <message>
            <source>System prompt</source>
            <translation>系统提示词</translation>
        </message>
        <message>
            <source>Said to the model before the conversation: who it is, how it shall answer</source>
            <translation>对话开始前告诉模型：它是谁、该怎样回答</translation>
        </message>
        <message>
            <source>Save this prompt under a name</source>
            <translation>为这个提示词命名并保存</translation>
        </message>
        <message>
            <source>Delete this saved prompt</source>
            <translation>删除这个已保存的提示词</translation>
        </message>
    </context>
    <context>
        <name>QuestionBubble</name>
        <message>
            <source>Copy the question</source>
            <translation>复制问题</translation>
        </message>
        <message>
            <source>Edit the question</source>
            <translation>编辑问题</translation>
        </message>
        <message>
            <source>Delete the question and its answers</source>
            <translation>删除问题及其回答</translation>
        </message>
    </context>
    <context>
        <name>ReachCard</name>
        <message>
            <source>Who may reach it</source>
            <translation>谁可以访问</translation>
        </message>
        <message>
            <source>Programs on this computer</source>
            <translation>仅本机程序</translation>
        </message>
        <message>
            <source>Others on the network too</source>
            <translation>网络中的其他人也可以</translation>
        </message>
        <message>
            <source>Another address</source>
            <translation>其他地址</translation>
        </message>
    </context>
    <context>
        <name>RequestsCard</name>
        <message>
            <source>Requests</source>
            <translation type="unfinished">请求</translation>
        </message>
        <message>
            <source>Errors only</source>
            <translation>仅看错误</translation>
        </message>
        <message>
            <source>Open in chat</source>
            <translation type="unfinished">打开对话</translation>
        </message>
        <message>
            <source>With its messages, as long as the server has them</source>
            <translation>连同消息一起打开，前提是服务器仍保留</translation>
        </message>
        <message>
            <source>Cancel</source>
            <translation>取消</translation>
        </message>
        <message>
            <source>End this request; its client is told</source>
            <translation>结束该请求，并告知客户端</translation>
        </message>
        <message>
            <source>No request was refused or failed.</source>
            <translation>没有被拒绝或失败的请求。</translation>
        </message>
        <message>
            <source>Nobody has asked yet. Chat with it, or connect a program.</source>
            <translation>还没有请求。可以直接对话，或接入程序。</translation>
        </message>
        <message>
            <source>Time</source>
            <translation>时间</translation>
        </message>
        <message>
            <source>Key</source>
            <translation>密钥</translation>
        </message>
        <message>
            <source>Model</source>
            <translation>模型</translation>
        </message>
        <message>
            <source>Route</source>
            <translation>接口</translation>
        </message>
        <message>
            <source>Waited</source>
            <translation>排队</translation>
        </message>
        <message>
            <source>First token</source>
            <translation>首 token</translation>
        </message>
        <message>
            <source>Total</source>
            <translation>总耗时</translation>
        </message>
        <message>
            <source>In (known)</source>
            <translation>输入（缓存）</translation>
        </message>
        <message>
            <source>Out</source>
            <translation>输出</translation>
        </message>
        <message>
            <source>tok/s</source>
            <translation>tok/s</translation>
        </message>
        <message>
            <source>State</source>
            <translation>状态</translation>
        </message>
        <message>
            <source>done</source>
            <translation type="unfinished">完成</translation>
        </message>
        <message>
            <source>length reached</source>
            <translation type="unfinished">达到长度上限</translation>
        </message>
        <message>
            <source>asks for a tool</source>
            <translation>请求工具</translation>
        </message>
        <message>
            <source>client left</source>
            <translation type="unfinished">客户端已断开</translation>
        </message>
        <message>
            <source>ended by you</source>
            <translation>已手动结束</translation>
        </message>
        <message>
            <source>refused</source>
            <translation type="unfinished">已拒绝</translation>
        </message>
        <message>
            <source>waits</source>
            <translation>排队中</translation>
        </message>
        <message>
            <source>reads the prompt</source>
            <translation>读取提示词</translation>
        </message>
        <message>
            <source>writes</source>
            <translation>生成中</translation>
        </message>
    </context>
    <context>
        <name>SamplingFields</name>
        <message>
            <source>Enter a whole number.</source>
            <translation type="unfinished">请输入整数。</translation>
        </message>
        <message>
            <source>This is not a JSON schema: {why}</source>
            <translation>这不是有效的 JSON schema：{why}</translation>
        </message>
        <message>
            <source>How</source>
            <translation>回答方式</translation>
        </message>
        <message>
            <source>Advanced</source>
            <translation>高级</translation>
        </message>
        <message>
            <source>model's own</source>
            <translation>模型默认</translation>
        </message>
        <message>
            <source>&amp;Preset</source>
            <translation>预设(&amp;P)</translation>
        </message>
        <message>
            <source>random</source>
            <translation type="unfinished">随机</translation>
        </message>
        <message>
            <source>&amp;Temperature</source>
            <translation type="unfinished">温度(&amp;T)</translation>
        </message>
        <message>
            <source>0 always takes the most probable token; higher is livelier.</source>
            <translation>0 总是取概率最高的 token；越高越多样。</translation>
        </message>
        <message>
            <source>T&amp;op p</source>
            <translation>Top p(&amp;O)</translation>
        </message>
        <message>
            <source>Draws only from the likeliest tokens that make up this share.</source>
            <translation>只从累计概率达到该比例的 token 中抽取。</translation>
        </message>
        <message>
            <source>&amp;Longest answer</source>
            <translation type="unfinished">最大长度(&amp;L)</translation>
        </message>
        <message>
            <source>In tokens, thoughts included; about 0.75 English words each.</source>
            <translation>以 token 计，含思考过程；一个汉字约 0.6 个 token。</translation>
        </message>
        <message>
            <source>T&amp;hinking</source>
            <translation>思考(&amp;H)</translation>
        </message>
        <message>
            <source>Whether this model reasons before it answers.</source>
            <translation>模型回答前是否先思考。</translation>
        </message>
        <message>
            <source>Top &amp;k</source>
            <translation>Top k(&amp;K)</translation>
        </message>
        <message>
            <source>Draws only from so many likeliest tokens.</source>
            <translation>只从概率最高的若干个 token 中抽取。</translation>
        </message>
        <message>
            <source>M&amp;in p</source>
            <translation>Min p(&amp;I)</translation>
        </message>
        <message>
            <source>Leaves out tokens below this share of the likeliest one.</source>
            <translation>舍弃概率低于最高者该比例的 token。</translation>
        </message>
        <message>
            <source>&amp;Repetition penalty</source>
            <translation>重复惩罚(&amp;R)</translation>
        </message>
        <message>
            <source>Above 1 makes words that were said less likely.</source>
            <translation>大于 1 时，已出现过的词更不容易再出现。</translation>
        </message>
        <message>
            <source>&amp;Seed</source>
            <translation type="unfinished">随机种子(&amp;S)</translation>
        </message>
        <message>
            <source>The same seed gives the same answer; empty is different each time.</source>
            <translation type="unfinished">种子相同则回答相同；留空则每次不同。</translation>
        </message>
        <message>
            <source>Stop strin&amp;gs</source>
            <translation>停止字符串(&amp;G)</translation>
        </message>
        <message>
            <source>The answer ends before any of them; one a line, \n is a line break.</source>
            <translation>遇到其中任何一个就结束回答；每行一个，\n 表示换行。</translation>
        </message>
        <message>
            <source>&amp;Form of the answer</source>
            <translation>回答格式(&amp;F)</translation>
        </message>
        <message>
            <source>The model can then write nothing else than JSON of this form.</source>
            <translation>模型将只能写出符合该格式的 JSON。</translation>
        </message>
        <message>
            <source>JSON s&amp;chema</source>
            <translation>JSON schema(&amp;C)</translation>
        </message>
        <message>
            <source>Fields, their types, what must be.</source>
            <translation>字段、类型以及哪些必填。</translation>
        </message>
        <message>
            <source>As the model's maker says</source>
            <translation>模型作者的推荐</translation>
        </message>
        <message>
            <source>Exact, always the same</source>
            <translation>精确，每次相同</translation>
        </message>
        <message>
            <source>Balanced (for R1)</source>
            <translation>均衡（适合 R1）</translation>
        </message>
        <message>
            <source>Lively</source>
            <translation>活泼</translation>
        </message>
        <message>
            <source>Your own</source>
            <translation>自定义</translation>
        </message>
        <message>
            <source>Free text</source>
            <translation>自由文本</translation>
        </message>
        <message>
            <source>Any JSON object</source>
            <translation>任意 JSON 对象</translation>
        </message>
        <message>
            <source>JSON after a schema</source>
            <translation>按 schema 的 JSON</translation>
        </message>
        <message>
            <source>As the template says</source>
            <translation>按模板默认</translation>
        </message>
        <message>
            <source>On</source>
            <translation>开</translation>
        </message>
        <message>
            <source>Off</source>
            <translation>关</translation>
        </message>
    </context>
    <context>
        <name>SavedChats</name>
        <message>
            <source>Nothing matches.</source>
            <translation>没有匹配的对话。</translation>
        </message>
        <message>
            <source>No conversation was saved yet. “Save” above the conversation keeps it.</source>
            <translation>还没有保存过对话。点击对话上方的“保存”即可保存。</translation>
        </message>
        <message>
            <source>Without a title</source>
            <translation>无标题</translation>
        </message>
        <message>
            <source>Rename the conversation</source>
            <translation>重命名对话</translation>
        </message>
        <message>
            <source>Title</source>
            <translation>标题</translation>
        </message>
        <message>
            <source>Search in all of them</source>
            <translation>在所有对话中搜索</translation>
        </message>
        <message>
            <source>Search</source>
            <translation>搜索</translation>
        </message>
        <message>
            <source>Saved conversations</source>
            <translation>已保存的对话</translation>
        </message>
        <message>
            <source>Open</source>
            <translation>打开</translation>
        </message>
        <message>
            <source>Rename</source>
            <translation>重命名</translation>
        </message>
        <message>
            <source>Delete</source>
            <translation>删除</translation>
        </message>
        <message>
            <source>Keep conversations</source>
            <translation>自动保存对话</translation>
        </message>
        <message>
            <source>Saves every conversation by itself, on this computer only. When off, one that is not saved is gone with the window.</source>
            <translation>自动保存每个对话，仅存于这台电脑。关闭时，未保存的对话会随窗口关闭而消失。</translation>
        </message>
    </context>
    <context>
        <name>SelfTestCard</name>
        <message>
            <source>The server did not start it: {reason}</source>
            <translation>服务器未启动自测：{reason}</translation>
        </message>
        <message>
            <source>The test ended early: {reason}</source>
            <translation>自测提前结束：{reason}</translation>
        </message>
        <message>
            <source>Measuring one answer alone …</source>
            <translation>正在测量单个回答…</translation>
        </message>
        <message>
            <source>Offering {rate} requests a second …</source>
            <translation>正在以每秒 {rate} 个请求施压…</translation>
        </message>
        <message>
            <source>requests are open; try again when it is quiet.</source>
            <translation>有未完成的请求，请在空闲时重试。</translation>
        </message>
        <message>
            <source>a client asked for something, and goes first.</source>
            <translation>有客户端发来请求，优先处理。</translation>
        </message>
        <message>
            <source>the memory became short.</source>
            <translation>内存不足。</translation>
        </message>
        <message>
            <source>{prompt} tokens in, {answer} out</source>
            <translation>输入 {prompt} / 输出 {answer} token</translation>
        </message>
        <message>
            <source>No rate held P99 under {target} ms with {workload}: the lowest gave {slowest}.</source>
            <translation>在{workload}的负载下，没有任何速率能使 P99 低于 {target} 毫秒：最低为 {slowest}。</translation>
        </message>
        <message>
            <source>This machine holds {rate} requests a second with P99 under {target} ms ({workload}).</source>
            <translation>本机每秒可承受 {rate} 个请求，P99 低于 {target} 毫秒（{workload}）。</translation>
        </message>
        <message>
            <source>The target of {n} is reached.</source>
            <translation>已达到每秒 {n} 个的目标。</translation>
        </message>
        <message>
            <source>Bandwidth and arithmetic of this machine would allow at most {rate}.</source>
            <translation>按带宽和算力，本机的理论上限为每秒 {rate} 个。</translation>
        </message>
        <message>
            <source>So {n} a second are out of reach here with this model and these lengths: take a smaller model, shorter answers, or a faster card.</source>
            <translation>因此以该模型和长度无法达到每秒 {n} 个：请换用更小的模型、更短的回答或更快的显卡。</translation>
        </message>
        <message>
            <source>One answer alone is written at {n} tokens a second.</source>
            <translation>单个回答的生成速度为每秒 {n} 个 token。</translation>
        </message>
        <message>
            <source>all at once: {rate}</source>
            <translation>同时发出：{rate}</translation>
        </message>
        <message>
            <source>✓ held</source>
            <translation>✓ 达标</translation>
        </message>
        <message>
            <source>too much</source>
            <translation>超限</translation>
        </message>
        <message>
            <source>What can this machine hold?</source>
            <translation>本机能承受多少？</translation>
        </message>
        <message>
            <source>The server asks itself for {n} seconds at rising rates, arriving at random as many people's would. Nobody is disturbed: the first request of a client ends it.</source>
            <translation>服务器在 {n} 秒内以逐步升高的速率向自己发出请求，到达时间随机，模拟多人使用。不会影响任何人：一旦有客户端请求，自测即结束。</translation>
        </message>
        <message>
            <source>tokens</source>
            <translation type="unfinished">token</translation>
        </message>
        <message>
            <source>Prompt</source>
            <translation>提示词</translation>
        </message>
        <message>
            <source>Length of each question.</source>
            <translation>每个问题的长度。</translation>
        </message>
        <message>
            <source>Answer</source>
            <translation>回答</translation>
        </message>
        <message>
            <source>Length of each answer.</source>
            <translation>每个回答的长度。</translation>
        </message>
        <message>
            <source>Start the self-test</source>
            <translation>开始自测</translation>
        </message>
        <message>
            <source>Self-test</source>
            <translation>自测</translation>
        </message>
        <message>
            <source>Rates of the self-test</source>
            <translation>自测速率</translation>
        </message>
        <message>
            <source>Requests/s</source>
            <translation>请求/秒</translation>
        </message>
        <message>
            <source>Answered</source>
            <translation>已回答</translation>
        </message>
        <message>
            <source>Refused</source>
            <translation>被拒绝</translation>
        </message>
        <message>
            <source>First token P50 / P99</source>
            <translation>首 token P50 / P99</translation>
        </message>
        <message>
            <source>Whole P50 / P99</source>
            <translation>总耗时 P50 / P99</translation>
        </message>
        <message>
            <source>tok/s</source>
            <translation>tok/s</translation>
        </message>
        <message>
            <source>P99 &lt; {n} ms</source>
            <translation>P99 &lt; {n} 毫秒</translation>
        </message>
    </context>
    <context>
        <name>ServerBanner</name>
        <message>
            <source>Loading {name}</source>
            <translation type="unfinished">正在加载 {name}</translation>
        </message>
        <message>
            <source>Warming up</source>
            <translation type="unfinished">正在预热</translation>
        </message>
        <message>
            <source>Asking it a first question</source>
            <translation>正在进行首次探测</translation>
        </message>
        <message>
            <source>Starting the process</source>
            <translation type="unfinished">正在启动进程</translation>
        </message>
        <message>
            <source>It is ready once it has answered a question of its own.</source>
            <translation>通过一次自我提问后即就绪。</translation>
        </message>
        <message>
            <source>The engine could not be brought back</source>
            <translation>引擎无法恢复</translation>
        </message>
        <message>
            <source>The engine stopped; it is being started again</source>
            <translation>引擎已停止，正在重新启动</translation>
        </message>
        <message>
            <source>Open requests were told; new ones get 503 with Retry-After meanwhile.</source>
            <translation>已告知未完成的请求；期间新请求会收到带 Retry-After 的 503。</translation>
        </message>
        <message>
            <source>What it said: {reason}</source>
            <translation>引擎信息：{reason}</translation>
        </message>
        <message>
            <source>It was tried {n} times. Stop, change the settings, start again.</source>
            <translation>已尝试 {n} 次。请停止服务，更改设置后重新启动。</translation>
        </message>
        <message>
            <source>Attempt {n} of {most}.</source>
            <translation>第 {n} 次尝试，共 {most} 次。</translation>
        </message>
        <message>
            <source>Next try in {time}.</source>
            <translation>{time} 后重试。</translation>
        </message>
        <message>
            <source>Finishing open requests, then it ends</source>
            <translation>正在处理未完成的请求，随后结束</translation>
        </message>
        <message>
            <source>{n} still open; {time} left for them. New ones are refused.</source>
            <translation>还有 {n} 个未完成，剩余 {time}。新请求会被拒绝。</translation>
        </message>
    </context>
    <context>
        <name>ServerFacts</name>
        <message>
            <source>{n} tokens of context</source>
            <translation type="unfinished">上下文 {n} token</translation>
        </message>
    </context>
    <context>
        <name>ServerFigures</name>
        <message>
            <source>target ≥ {n}</source>
            <translation type="unfinished">目标 ≥ {n}</translation>
        </message>
        <message>
            <source>target &lt; {n} ms</source>
            <translation type="unfinished">目标 &lt; {n} ms</translation>
        </message>
        <message>
            <source>P99, whole answer</source>
            <translation type="unfinished">P99，完整回答</translation>
        </message>
        <message>
            <source>P99, {prompt} in / {answer} out</source>
            <translation>P99，输入 {prompt} / 输出 {answer}</translation>
        </message>
        <message>
            <source>Memory of the engine</source>
            <translation>引擎内存</translation>
        </message>
        <message>
            <source>no card in use</source>
            <translation>未使用显卡</translation>
        </message>
        <message>
            <source>GPU memory</source>
            <translation>显存占用</translation>
        </message>
        <message>
            <source>target &lt; {n}</source>
            <translation type="unfinished">目标 &lt; {n}</translation>
        </message>
        <message>
            <source>{target}, engine {own}</source>
            <translation>{target}，引擎 {own}</translation>
        </message>
        <message>
            <source>{target}, by self-test</source>
            <translation>{target}，自测结果</translation>
        </message>
        <message>
            <source>{target}, too few requests</source>
            <translation>{target}，请求太少</translation>
        </message>
        <message>
            <source>{target}, not loaded</source>
            <translation>{target}，负载不足</translation>
        </message>
        <message>
            <source>{target}, not measured</source>
            <translation>{target}，尚未测量</translation>
        </message>
        <message>
            <source>Measured on what clients asked in the last minute.</source>
            <translation>根据最近一分钟的客户端请求测得。</translation>
        </message>
        <message>
            <source>By the self-test: clients have not asked for so much since the start.</source>
            <translation>由自测得出：启动以来客户端还没有这么多请求。</translation>
        </message>
        <message>
            <source>With fewer than {n} requests the slowest one percent is a single one. Wait for more, or run the self-test.</source>
            <translation>不足 {n} 个请求时，最慢的百分之一只是其中一个。请等待更多请求，或运行自测。</translation>
        </message>
        <message>
            <source>Clients ask for less than the target, so this says nothing about what the machine can hold. The self-test does.</source>
            <translation>客户端的请求量低于目标，因此无法说明机器的承受能力。可运行自测。</translation>
        </message>
        <message>
            <source>Nothing was measured yet. Ask something, or run the self-test.</source>
            <translation>尚未测量。请发出请求，或运行自测。</translation>
        </message>
        <message>
            <source>The model does not run on a card here, so there is no GPU memory to compare.</source>
            <translation>模型未在显卡上运行，因此没有显存可比较。</translation>
        </message>
        <message>
            <source>prompts {n} tok/s</source>
            <translation>提示词 {n} tok/s</translation>
        </message>
        <message>
            <source>answering + waiting, limit {n}</source>
            <translation type="unfinished">生成中 + 排队，上限 {n}</translation>
        </message>
        <message>
            <source>P99 {n} ms</source>
            <translation>P99 {n} 毫秒</translation>
        </message>
        <message>
            <source>not told by this engine</source>
            <translation>该引擎不提供</translation>
        </message>
        <message>
            <source>of {n} tokens</source>
            <translation>共 {n} 个 token</translation>
        </message>
        <message>
            <source>{room}, {share} of prompts known</source>
            <translation>{room}，命中 {share}</translation>
        </message>
        <message>
            <source>What conversations keep in memory. Known: beginnings of prompts that were not computed again.</source>
            <translation>对话在内存中保留的内容。命中：无需重新计算的提示词开头。</translation>
        </message>
        <message>
            <source>of {n} requests</source>
            <translation>共 {n} 个请求</translation>
        </message>
        <message>
            <source>{share} of {n} requests since the start</source>
            <translation>启动以来 {n} 个请求中的 {share}</translation>
        </message>
        <message>
            <source>No request in the last minute: the figures above wait for some.</source>
            <translation>最近一分钟没有请求：以上指标等待请求。</translation>
        </message>
        <message>
            <source>Workload of the last minute: {words}</source>
            <translation>最近一分钟的负载：{words}</translation>
        </message>
        <message>
            <source>{prompt} tokens in, {answer} out (medians of {n} requests), {rate} requests a second</source>
            <translation>输入 {prompt} / 输出 {answer} token（{n} 个请求的中位数），每秒 {rate} 个请求</translation>
        </message>
        <message>
            <source>Requests per second</source>
            <translation type="unfinished">每秒请求数</translation>
        </message>
        <message>
            <source>Requests per second, held</source>
            <translation>每秒可承受请求数</translation>
        </message>
        <message>
            <source>Errors</source>
            <translation>错误</translation>
        </message>
        <message>
            <source>First token, P50</source>
            <translation>首 token P50</translation>
        </message>
        <message>
            <source>Speed of all answers</source>
            <translation>总生成速度</translation>
        </message>
        <message>
            <source>Requests now</source>
            <translation>当前请求</translation>
        </message>
        <message>
            <source>Conversation memory (KV cache)</source>
            <translation>对话缓存（KV）</translation>
        </message>
    </context>
    <context>
        <name>SnippetCard</name>
        <message>
            <source>Connect a program</source>
            <translation>接入程序</translation>
        </message>
        <message>
            <source>Copy with the key</source>
            <translation>复制（含密钥）</translation>
        </message>
        <message>
            <source>For a terminal with bash; on Windows use Git Bash or WSL.</source>
            <translation>用于 bash 终端；Windows 上请使用 Git Bash 或 WSL。</translation>
        </message>
        <message>
            <source>With OpenAI's own library, streamed.</source>
            <translation>使用 OpenAI 官方库，流式输出。</translation>
        </message>
        <message>
            <source>With OpenAI's own library for Node.js, streamed.</source>
            <translation>使用 OpenAI 官方 Node.js 库，流式输出。</translation>
        </message>
        <message>
            <source>A chat model for chains and agents.</source>
            <translation>用于链和智能体的对话模型。</translation>
        </message>
        <message>
            <source>A web chat in Docker. It reaches this computer as host.docker.internal: start the API for the network and add that name to the accepted host names.</source>
            <translation>运行在 Docker 中的网页对话，通过 host.docker.internal 访问本机：请让 API 对网络开放，并将该名称加入其他主机名。</translation>
        </message>
        <message>
            <source>Settings, Model Provider, OpenAI-API-compatible, Add Model. Dify runs in Docker: start the API for the network and accept the name host.docker.internal.</source>
            <translation>设置 → 模型供应商 → OpenAI-API-compatible → 添加模型。Dify 运行在 Docker 中：请让 API 对网络开放，并接受主机名 host.docker.internal。</translation>
        </message>
        <message>
            <source>In VS Code: Cline's settings, API Configuration.</source>
            <translation>在 VS Code 的 Cline 设置中打开 API Configuration。</translation>
        </message>
    </context>
    <context>
        <name>WhatCard</name>
        <message>
            <source>What answers</source>
            <translation>由谁应答</translation>
        </message>
        <message>
            <source>More models…</source>
            <translation type="unfinished">更多模型…</translation>
        </message>
        <message>
            <source>Train an adapter for this model</source>
            <translation type="unfinished">为此模型训练适配器</translation>
        </message>
    </context>
</TS>
