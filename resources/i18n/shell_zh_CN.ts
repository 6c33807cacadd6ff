<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" language="zh_CN" sourcelanguage="en_US">
    <context>
        <name>Announcer</name>
        <message>
            <source>{run}: {alarm}</source>
            <translation>{run}：{alarm}</translation>
        </message>
        <message>
            <source>Show</source>
            <translation>查看</translation>
        </message>
        <message>
            <source>{job} “{run}”: {status}</source>
            <translation>{job}“{run}”：{status}</translation>
        </message>
    </context>
    <context>
        <name>BrokenPage</name>
        <message>
            <source>The page “{name}” could not open</source>
            <translation>无法打开页面“{name}”</translation>
        </message>
    </context>
    <context>
        <name>CopyField</name>
        <message>
            <source>Copied</source>
            <translation>已复制</translation>
        </message>
        <message>
            <source>Copy {name}</source>
            <translation>复制{name}</translation>
        </message>
        <message>
            <source>Show {name}</source>
            <translation>查看 {name}</translation>
        </message>
    </context>
    <context>
        <name>DataPage</name>
        <message>
            <source>Data</source>
            <translation>数据</translation>
        </message>
        <message>
            <source>What a model learns from, and what it is measured on.</source>
            <translation>模型从这里学习，也在这里接受评测。</translation>
        </message>
        <message>
            <source>Datasets</source>
            <translation>数据集</translation>
        </message>
        <message>
            <source>Add folder…</source>
            <translation>添加文件夹…</translation>
        </message>
        <message>
            <source>A folder with train/ and eval/, or with files</source>
            <translation>包含 train/ 与 eval/ 的文件夹，或直接存放数据文件的文件夹</translation>
        </message>
        <message>
            <source>Add file…</source>
            <translation>添加文件…</translation>
        </message>
        <message>
            <source>Fine-tune with this</source>
            <translation>用它微调</translation>
        </message>
        <message>
            <source>Take off the list</source>
            <translation>移出列表</translation>
        </message>
        <message>
            <source>The files stay where they are</source>
            <translation>文件保留在原处</translation>
        </message>
        <message>
            <source>Training samples</source>
            <translation>训练样本</translation>
        </message>
        <message>
            <source>Evaluation samples</source>
            <translation>评估样本</translation>
        </message>
        <message>
            <source>Size</source>
            <translation>大小</translation>
        </message>
        <message>
            <source>License</source>
            <translation>许可</translation>
        </message>
        <message>
            <source>Reading</source>
            <translation>正在读取</translation>
        </message>
        <message>
            <source>First samples</source>
            <translation>样本预览</translation>
        </message>
        <message>
            <source>Split</source>
            <translation>划分</translation>
        </message>
        <message>
            <source>Which part of the dataset to show</source>
            <translation>选择要查看的数据划分</translation>
        </message>
        <message>
            <source>Cleaning, labeling and augmentation will come to this page. DeepDeck reads JSON Lines, JSON, CSV, TSV and plain text, and never changes your files.</source>
            <translation>清洗、标注与增强功能将在此页提供。DeepDeck 可读取 JSON Lines、JSON、CSV、TSV 与纯文本，绝不改动您的文件。</translation>
        </message>
        <message>
            <source>bundled</source>
            <translation>内置</translation>
        </message>
        <message>
            <source>added by you</source>
            <translation>自行添加</translation>
        </message>
        <message>
            <source>cannot be read</source>
            <translation>无法读取</translation>
        </message>
        <message>
            <source>{count} samples</source>
            <translation>{count} 个样本</translation>
        </message>
        <message>
            <source>mixed</source>
            <translation>多种</translation>
        </message>
        <message>
            <source>Lines with a problem beside this one: {count}</source>
            <translation>除此之外，还有 {count} 行存在问题</translation>
        </message>
        <message>
            <source>Add a dataset folder</source>
            <translation>添加数据集文件夹</translation>
        </message>
        <message>
            <source>Add a data file</source>
            <translation>添加数据文件</translation>
        </message>
        <message>
            <source>Data files ({kinds})</source>
            <translation>数据文件 ({kinds})</translation>
        </message>
    </context>
    <context>
        <name>DoctorPage</name>
        <message>
            <source>Doctor</source>
            <translation>诊断</translation>
        </message>
        <message>
            <source>Looks at what DeepDeck stands on. Changes nothing.</source>
            <translation>检查 DeepDeck 所依赖的环境，不做任何改动。</translation>
        </message>
        <message>
            <source>In order</source>
            <translation>正常</translation>
        </message>
        <message>
            <source>Worth a look</source>
            <translation>需留意</translation>
        </message>
        <message>
            <source>Broken</source>
            <translation>有问题</translation>
        </message>
        <message>
            <source>Check</source>
            <translation>检查</translation>
        </message>
        <message>
            <source>Check again</source>
            <translation>重新检查</translation>
        </message>
        <message>
            <source>Copy diagnostics</source>
            <translation>复制诊断信息</translation>
        </message>
        <message>
            <source>Keys and personal paths are left out</source>
            <translation>不含密钥与个人路径</translation>
        </message>
        <message>
            <source>checking</source>
            <translation>检查中</translation>
        </message>
        <message>
            <source>needs you</source>
            <translation>需要处理</translation>
        </message>
        <message>
            <source>worth a look</source>
            <translation>需留意</translation>
        </message>
        <message>
            <source>all in order</source>
            <translation>一切正常</translation>
        </message>
        <message>
            <source>Diagnostics copied.</source>
            <translation>诊断信息已复制。</translation>
        </message>
    </context>
    <context>
        <name>ErrorCard</name>
        <message>
            <source>Copy diagnostics</source>
            <translation>复制诊断信息</translation>
        </message>
        <message>
            <source>Keys and personal paths are left out</source>
            <translation>不含密钥与个人路径</translation>
        </message>
        <message>
            <source>Dismiss</source>
            <translation>关闭</translation>
        </message>
        <message>
            <source>Code: {code}</source>
            <translation>代码：{code}</translation>
        </message>
    </context>
    <context>
        <name>Farewell</name>
        <message>
            <source>Stay on</source>
            <translation>保持开机</translation>
        </message>
        <message>
            <source>The queue is done. The computer goes to sleep in {seconds} s.</source>
            <translation>队列已全部完成，电脑将在 {seconds} 秒后进入睡眠。</translation>
        </message>
        <message>
            <source>The queue is done. The computer is switched off in {seconds} s.</source>
            <translation>队列已全部完成，电脑将在 {seconds} 秒后关机。</translation>
        </message>
        <message>
            <source>Sleep now</source>
            <translation>立即睡眠</translation>
        </message>
        <message>
            <source>Switch off now</source>
            <translation>立即关机</translation>
        </message>
    </context>
    <context>
        <name>FindingRow</name>
        <message>
            <source>Command</source>
            <translation>命令</translation>
        </message>
    </context>
    <context>
        <name>Leaving</name>
        <message>
            <source>Runs are saving; the window closes when they are done.</source>
            <translation>正在保存各项运行，完成后窗口会自动关闭。</translation>
        </message>
        <message>
            <source>Close DeepDeck</source>
            <translation>关闭 DeepDeck</translation>
        </message>
        <message>
            <source>One run is still at work.</source>
            <translation>有一项运行尚未结束。</translation>
        </message>
        <message>
            <source>{count} runs are still at work.</source>
            <translation>有 {count} 项运行尚未结束。</translation>
        </message>
        <message>
            <source>They can go on without the window; open DeepDeck again to see them.</source>
            <translation>关闭窗口后它们可以继续运行，重新打开 DeepDeck 即可查看。</translation>
        </message>
        <message>
            <source>Leave running</source>
            <translation>保持运行</translation>
        </message>
        <message>
            <source>Stop and save</source>
            <translation>停止并保存</translation>
        </message>
        <message>
            <source>Cancel</source>
            <translation>取消</translation>
        </message>
    </context>
    <context>
        <name>MachineCard</name>
        <message>
            <source>CPU {percent}</source>
            <translation>CPU {percent}</translation>
        </message>
        <message>
            <source>Memory</source>
            <translation>内存</translation>
        </message>
        <message>
            <source>This computer</source>
            <translation>本机</translation>
        </message>
        <message>
            <source>memory not reported</source>
            <translation>未报告显存</translation>
        </message>
        <message>
            <source>Graphics cards</source>
            <translation>显卡</translation>
        </message>
    </context>
    <context>
        <name>ModelDetails</name>
        <message>
            <source>Fine-tune</source>
            <translation>微调</translation>
        </message>
        <message>
            <source>Deploy</source>
            <translation>部署</translation>
        </message>
        <message>
            <source>Fetch</source>
            <translation>获取</translation>
        </message>
        <message>
            <source>Stop fetching</source>
            <translation>停止获取</translation>
        </message>
        <message>
            <source>What arrived is kept</source>
            <translation>已下载的部分会保留</translation>
        </message>
        <message>
            <source>Verify</source>
            <translation>校验</translation>
        </message>
        <message>
            <source>Checks every file again</source>
            <translation>重新检查每个文件</translation>
        </message>
        <message>
            <source>Take off the list</source>
            <translation>移出列表</translation>
        </message>
        <message>
            <source>The files stay where they are</source>
            <translation>文件保留在原处</translation>
        </message>
        <message>
            <source>fetching</source>
            <translation>获取中</translation>
        </message>
        <message>
            <source>unusable</source>
            <translation>不可用</translation>
        </message>
        <message>
            <source>ready</source>
            <translation>就绪</translation>
        </message>
        <message>
            <source>not fetched</source>
            <translation>未获取</translation>
        </message>
        <message>
            <source>, {active} active a token</source>
            <translation>，每个 token 激活 {active}</translation>
        </message>
        <message>
            <source>{count} tokens</source>
            <translation>{count} 个 token</translation>
        </message>
        <message>
            <source>Architecture</source>
            <translation>架构</translation>
        </message>
        <message>
            <source>Parameters</source>
            <translation>参数量</translation>
        </message>
        <message>
            <source>Size</source>
            <translation>大小</translation>
        </message>
        <message>
            <source>Number format</source>
            <translation>数值格式</translation>
        </message>
        <message>
            <source>Context</source>
            <translation>上下文</translation>
        </message>
        <message>
            <source>Vocabulary</source>
            <translation>词表</translation>
        </message>
        <message>
            <source>Languages</source>
            <translation>语言</translation>
        </message>
        <message>
            <source>License</source>
            <translation>许可</translation>
        </message>
        <message>
            <source>Chat template</source>
            <translation>对话模板</translation>
        </message>
        <message>
            <source>yes</source>
            <translation>有</translation>
        </message>
        <message>
            <source>File format</source>
            <translation>文件格式</translation>
        </message>
        <message>
            <source>From</source>
            <translation>来源</translation>
        </message>
        <message>
            <source>Folder</source>
            <translation>文件夹</translation>
        </message>
    </context>
    <context>
        <name>ModelsPage</name>
        <message>
            <source>Models</source>
            <translation>模型</translation>
        </message>
        <message>
            <source>Base models to fine-tune and to serve.</source>
            <translation>可用于微调和部署的基础模型。</translation>
        </message>
        <message>
            <source>Library</source>
            <translation>模型库</translation>
        </message>
        <message>
            <source>Add folder…</source>
            <translation>添加文件夹…</translation>
        </message>
        <message>
            <source>A model folder with config.json and .safetensors</source>
            <translation>包含 config.json 与 .safetensors 的模型文件夹</translation>
        </message>
        <message>
            <source>Add GGUF file…</source>
            <translation>添加 GGUF 文件…</translation>
        </message>
        <message>
            <source>{name} was added.</source>
            <translation>已添加 {name}。</translation>
        </message>
        <message>
            <source>not fetched</source>
            <translation>未获取</translation>
        </message>
        <message>
            <source>All files are whole.</source>
            <translation>所有文件完好。</translation>
        </message>
        <message>
            <source>Add a model folder</source>
            <translation>添加模型文件夹</translation>
        </message>
        <message>
            <source>Add a GGUF file</source>
            <translation>添加 GGUF 文件</translation>
        </message>
        <message>
            <source>GGUF files (*.gguf)</source>
            <translation>GGUF 文件 (*.gguf)</translation>
        </message>
    </context>
    <context>
        <name>Notice</name>
        <message>
            <source>Dismiss</source>
            <translation>关闭</translation>
        </message>
    </context>
    <context>
        <name>OverviewPage</name>
        <message>
            <source>Overview</source>
            <translation>总览</translation>
        </message>
        <message>
            <source>DeepDeck {version}</source>
            <translation>DeepDeck {version}</translation>
        </message>
        <message>
            <source>Running now</source>
            <translation>正在运行</translation>
        </message>
        <message>
            <source>Runs kept</source>
            <translation>保留的运行</translation>
        </message>
        <message>
            <source>Models ready</source>
            <translation>可用模型</translation>
        </message>
        <message>
            <source>Free memory</source>
            <translation>可用内存</translation>
        </message>
        <message>
            <source>Free disk</source>
            <translation>可用磁盘</translation>
        </message>
        <message>
            <source>Latest runs</source>
            <translation>最近的运行</translation>
        </message>
        <message>
            <source>This computer</source>
            <translation>本机</translation>
        </message>
        <message>
            <source>All runs</source>
            <translation>全部运行</translation>
        </message>
        <message>
            <source>Fine-tune the starter model</source>
            <translation>微调入门模型</translation>
        </message>
        <message>
            <source>A small model and a dataset come with DeepDeck; watch it learn live.</source>
            <translation>DeepDeck 自带一个小模型和一份数据集，可实时观看它的学习过程。</translation>
        </message>
        <message>
            <source>Fine-tune</source>
            <translation>微调</translation>
        </message>
        <message>
            <source>Start a local API</source>
            <translation>启动本地 API</translation>
        </message>
        <message>
            <source>Serve a model on this computer to any program that speaks to OpenAI's API.</source>
            <translation>在本机提供模型服务，任何兼容 OpenAI API 的程序均可调用。</translation>
        </message>
        <message>
            <source>Go to Deploy</source>
            <translation>前往部署</translation>
        </message>
        <message>
            <source>Chat with a model</source>
            <translation>与模型对话</translation>
        </message>
        <message>
            <source>Ask the model you serve, before and after fine-tuning.</source>
            <translation>向部署的模型提问，对比微调前后的回答。</translation>
        </message>
        <message>
            <source>Open Chat</source>
            <translation>打开对话</translation>
        </message>
        <message>
            <source>Nothing is running.</source>
            <translation>当前没有运行中的任务。</translation>
        </message>
        <message>
            <source>Runs that have ended are listed here, with their last loss and alarms.</source>
            <translation>已结束的运行会列在这里，并附最终损失与告警。</translation>
        </message>
        <message>
            <source>running</source>
            <translation>运行中</translation>
        </message>
        <message>
            <source>done</source>
            <translation>已完成</translation>
        </message>
        <message>
            <source>ready</source>
            <translation>就绪</translation>
        </message>
        <message>
            <source>{count} cores</source>
            <translation>{count} 核</translation>
        </message>
        <message>
            <source>System</source>
            <translation>系统</translation>
        </message>
        <message>
            <source>Processor</source>
            <translation>处理器</translation>
        </message>
        <message>
            <source>Memory</source>
            <translation>内存</translation>
        </message>
        <message>
            <source>Graphics card</source>
            <translation>显卡</translation>
        </message>
        <message>
            <source>Driver</source>
            <translation>驱动</translation>
        </message>
        <message>
            <source>Python</source>
            <translation>Python</translation>
        </message>
    </context>
    <context>
        <name>RunRow</name>
        <message>
            <source>Progress of {name}</source>
            <translation>{name} 的进度</translation>
        </message>
        <message>
            <source>Open</source>
            <translation>打开</translation>
        </message>
        <message>
            <source>Open {name}</source>
            <translation>打开 {name}</translation>
        </message>
        <message>
            <source>step {step}</source>
            <translation>第 {step} 步</translation>
        </message>
        <message>
            <source>loss {loss}</source>
            <translation>损失 {loss}</translation>
        </message>
        <message>
            <source>alarms: {count}</source>
            <translation>告警：{count}</translation>
        </message>
    </context>
    <context>
        <name>SampleCard</name>
        <message>
            <source>Sample {number}</source>
            <translation>样本 {number}</translation>
        </message>
        <message>
            <source>System</source>
            <translation>系统</translation>
        </message>
        <message>
            <source>Question</source>
            <translation>提问</translation>
        </message>
        <message>
            <source>Answer, trained</source>
            <translation>回答（参与训练）</translation>
        </message>
        <message>
            <source>Text, trained</source>
            <translation>文本（参与训练）</translation>
        </message>
    </context>
    <context>
        <name>SettingsPage</name>
        <message>
            <source>Settings</source>
            <translation>设置</translation>
        </message>
        <message>
            <source>Changes are saved at once.</source>
            <translation>更改会立即保存。</translation>
        </message>
        <message>
            <source>Window</source>
            <translation>窗口</translation>
        </message>
        <message>
            <source>Run defaults</source>
            <translation>运行默认值</translation>
        </message>
        <message>
            <source>Data folder</source>
            <translation>数据文件夹</translation>
        </message>
        <message>
            <source>API key</source>
            <translation>API 密钥</translation>
        </message>
        <message>
            <source>About</source>
            <translation>关于</translation>
        </message>
        <message>
            <source>&amp;Language</source>
            <translation>语言(&amp;L)</translation>
        </message>
        <message>
            <source>Changes at once.</source>
            <translation>立即生效。</translation>
        </message>
        <message>
            <source>&amp;Colors</source>
            <translation>配色(&amp;C)</translation>
        </message>
        <message>
            <source>Light, dark, or as the system.</source>
            <translation>浅色、深色或跟随系统。</translation>
        </message>
        <message>
            <source>&amp;Precision of new runs</source>
            <translation>新运行的精度(&amp;P)</translation>
        </message>
        <message>
            <source>bf16 needs a card that has it; fp32 works everywhere and takes twice the memory.</source>
            <translation>bf16 需要显卡支持；fp32 随处可用，但占用双倍内存。</translation>
        </message>
        <message>
            <source>When the window is closed while runs are at &amp;work</source>
            <translation>关闭窗口而运行尚未结束时(&amp;W)</translation>
        </message>
        <message>
            <source>Runs are processes of their own and can go on without the window.</source>
            <translation>运行是独立的进程，关闭窗口后也能继续。</translation>
        </message>
        <message>
            <source>Say when a run ends or raises an &amp;alarm</source>
            <translation>运行结束或出现告警时提示(&amp;A)</translation>
        </message>
        <message>
            <source>At the top of the window, on whatever page you are</source>
            <translation>无论在哪一页，都会显示在窗口顶部</translation>
        </message>
        <message>
            <source>As the system</source>
            <translation>跟随系统</translation>
        </message>
        <message>
            <source>Light</source>
            <translation>浅色</translation>
        </message>
        <message>
            <source>Dark</source>
            <translation>深色</translation>
        </message>
        <message>
            <source>Choose by the machine</source>
            <translation>按机器自动选择</translation>
        </message>
        <message>
            <source>Ask</source>
            <translation>询问</translation>
        </message>
        <message>
            <source>Leave them running</source>
            <translation>保持运行</translation>
        </message>
        <message>
            <source>Stop and save them</source>
            <translation>停止并保存</translation>
        </message>
        <message>
            <source>data folder</source>
            <translation>数据文件夹</translation>
        </message>
        <message>
            <source>Runs, models, datasets and settings are kept here and nowhere else. To use another folder, set DEEPDECK_HOME before the start.</source>
            <translation>运行、模型、数据集和设置都只保存在这里。如需更换，请在启动前设置 DEEPDECK_HOME。</translation>
        </message>
        <message>
            <source>Open folder</source>
            <translation>打开文件夹</translation>
        </message>
        <message>
            <source>Programs that use your local API send this key. It never leaves this computer.</source>
            <translation>调用本地 API 的程序需要提供此密钥，它不会离开本机。</translation>
        </message>
        <message>
            <source>Renew key…</source>
            <translation>更换密钥…</translation>
        </message>
        <message>
            <source>Version</source>
            <translation>版本</translation>
        </message>
        <message>
            <source>License</source>
            <translation>许可</translation>
        </message>
        <message>
            <source>Renew key</source>
            <translation>更换密钥</translation>
        </message>
        <message>
            <source>Make a new API key?</source>
            <translation>要生成新的 API 密钥吗？</translation>
        </message>
        <message>
            <source>Programs need the new key once the API is started again. The old one cannot be brought back.</source>
            <translation>API 下次启动后，程序需要改用新密钥。旧密钥无法恢复。</translation>
        </message>
        <message>
            <source>Keep the key</source>
            <translation>保留原密钥</translation>
        </message>
        <message>
            <source>The API has a new key from its next start on.</source>
            <translation>API 将从下次启动起使用新密钥。</translation>
        </message>
    </context>
    <context>
        <name>SetupPage</name>
        <message>
            <source>checking</source>
            <translation>检查中</translation>
        </message>
        <message>
            <source>Setup</source>
            <translation>环境</translation>
        </message>
        <message>
            <source>The Python runtime that trains and serves your models.</source>
            <translation>用于训练和部署模型的 Python 运行环境。</translation>
        </message>
        <message>
            <source>Open Doctor</source>
            <translation>打开诊断</translation>
        </message>
        <message>
            <source>Shows each finding with its fix</source>
            <translation>逐项显示检查结果与解决办法</translation>
        </message>
        <message>
            <source>What is here now</source>
            <translation>当前环境</translation>
        </message>
        <message>
            <source>What will come here</source>
            <translation>即将提供</translation>
        </message>
        <message>
            <source>DeepDeck works with the runtime that ./deepdeck set up. A wizard will let you make others, for example one for each version of CUDA:</source>
            <translation>DeepDeck 目前使用 ./deepdeck 建立的运行环境。今后可通过向导另建环境，例如为不同的 CUDA 版本各建一个：</translation>
        </message>
        <message>
            <source>Look at the machine</source>
            <translation>检查机器</translation>
        </message>
        <message>
            <source>Card, driver, memory and disk, in plain words.</source>
            <translation>用通俗的文字说明显卡、驱动、内存与磁盘。</translation>
        </message>
        <message>
            <source>Choose what fits</source>
            <translation>选择合适的版本</translation>
        </message>
        <message>
            <source>CPU or the build of PyTorch that your driver supports, with its size.</source>
            <translation>CPU 版本，或驱动所支持的 PyTorch 版本，并标明大小。</translation>
        </message>
        <message>
            <source>Install and prove it</source>
            <translation>安装并验证</translation>
        </message>
        <message>
            <source>In a folder of its own; the old runtime stays until the new one works.</source>
            <translation>安装在独立的文件夹中，新环境验证通过之前保留旧环境。</translation>
        </message>
        <message>
            <source>Repair or go back</source>
            <translation>修复或回退</translation>
        </message>
        <message>
            <source>Find what broke, put it right, or switch back with one click.</source>
            <translation>找出故障并修复，或一键切换回去。</translation>
        </message>
        <message>
            <source>Looking at the machine…</source>
            <translation>正在检查机器…</translation>
        </message>
        <message>
            <source>incomplete</source>
            <translation>不完整</translation>
        </message>
        <message>
            <source>ready</source>
            <translation>就绪</translation>
        </message>
    </context>
    <context>
        <name>SideBar</name>
        <message>
            <source>Overview</source>
            <translation>总览</translation>
        </message>
        <message>
            <source>Setup</source>
            <translation>环境</translation>
        </message>
        <message>
            <source>Models</source>
            <translation>模型</translation>
        </message>
        <message>
            <source>Deploy</source>
            <translation>部署</translation>
        </message>
        <message>
            <source>Chat</source>
            <translation>对话</translation>
        </message>
        <message>
            <source>Data</source>
            <translation>数据</translation>
        </message>
        <message>
            <source>Train</source>
            <translation>训练</translation>
        </message>
        <message>
            <source>Runs</source>
            <translation>运行记录</translation>
        </message>
        <message>
            <source>Doctor</source>
            <translation>诊断</translation>
        </message>
        <message>
            <source>Settings</source>
            <translation>设置</translation>
        </message>
        <message>
            <source>Pages</source>
            <translation>页面</translation>
        </message>
    </context>
</TS>
