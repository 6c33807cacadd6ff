<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" language="zh_CN" sourcelanguage="en_US">
    <context>
        <name>Director</name>
        <message>
            <source>The demo was stopped. The window is yours.</source>
            <translation>演示已停止，窗口交还给您。</translation>
        </message>
        <message>
            <source>The demo cannot go on: {message} {hint}</source>
            <translation>演示无法继续：{message}{hint}</translation>
        </message>
        <message>
            <source>This demo does the main job by itself: ask a small model, teach it, serve it, and ask again. Everything you see is real and happens on this computer.</source>
            <translation>本演示将自动完成整个流程：先问小模型一个问题，再教它、部署它，然后再问一遍。您看到的一切都真实发生在这台电脑上。</translation>
        </message>
        <message>
            <source>First the untuned model: one button starts its local API.</source>
            <translation>先部署未微调的模型：按一个按钮即可启动本地 API。</translation>
        </message>
        <message>
            <source>A question about what it has not learned yet:</source>
            <translation>先问一个它还没学过的问题：</translation>
        </message>
        <message>
            <source>Now the tuned model, with its adapter on top:</source>
            <translation>现在部署微调后的模型（加上适配器）：</translation>
        </message>
        <message>
            <source>The same question again:</source>
            <translation>再问一遍同样的问题：</translation>
        </message>
        <message>
            <source>Teaching: LoRA on {samples} bundled examples. Watch the loss fall.</source>
            <translation>开始教学：用 LoRA 学习自带的 {samples} 条样本。请看损失逐渐下降。</translation>
        </message>
        <message>
            <source>The page says what is wrong.</source>
            <translation>页面上说明了原因。</translation>
        </message>
        <message>
            <source>Done. The API goes on until you stop it.</source>
            <translation>演示完成。API 会继续运行，直到您停止它。</translation>
        </message>
        <message>
            <source>Done. Loss on questions it never saw: {before} before, {after} after. The API goes on until you stop it on the Deploy page.</source>
            <translation>演示完成。对从未见过的问题，损失由微调前的 {before} 降到微调后的 {after}。API 会继续运行，可在“部署”页面停止。</translation>
        </message>
    </context>
    <context>
        <name>NarrationBar</name>
        <message>
            <source>Step {step} of {steps}</source>
            <translation>第 {step} 步，共 {steps} 步</translation>
        </message>
        <message>
            <source>Demo</source>
            <translation>演示</translation>
        </message>
        <message>
            <source>Open the report</source>
            <translation>打开报告</translation>
        </message>
        <message>
            <source>Close</source>
            <translation>关闭</translation>
        </message>
        <message>
            <source>Stop the demo</source>
            <translation>停止演示</translation>
        </message>
        <message>
            <source>Also stops the runs that the demo started</source>
            <translation>同时停止演示所启动的运行</translation>
        </message>
    </context>
</TS>
