"""How other programs are told about a server: code and settings to paste, by program."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import Literal

from app.viewmodels.serve import QUESTION

SnippetId = Literal["curl", "python", "javascript", "langchain", "open_webui", "dify", "cline"]
SNIPPETS: tuple[SnippetId, ...] = (
    "curl", "python", "javascript", "langchain", "open_webui", "dify", "cline",
)  # fmt: skip
NAMES: dict[SnippetId, str] = {
    "curl": "curl",
    "python": "Python",
    "javascript": "JavaScript",
    "langchain": "LangChain",
    "open_webui": "Open WebUI",
    "dify": "Dify",
    "cline": "Cline",
}
MASK = "•" * 8


@dataclass(frozen=True)
class Access:
    """What a program must know."""

    url: str
    """Without a path."""
    key: str
    model: str
    context_tokens: int = 0
    max_new_tokens: int = 2048

    @property
    def base(self) -> str:
        """What OpenAI clients call the base URL."""
        return f"{self.url}/v1"


def snippet(name: SnippetId, access: Access) -> str:
    """The text to paste, with the key in it."""
    return _MAKERS[name](access)


def masked(text: str, key: str) -> str:
    """The same for eyes behind the user."""
    return text.replace(key, MASK) if key else text


def in_container(url: str) -> str:
    """The same address for a program in a Docker container on this computer."""
    return url.replace("127.0.0.1", "host.docker.internal").replace(
        "localhost", "host.docker.internal"
    )


def _curl(a: Access) -> str:
    question = {"model": a.model, "messages": [{"role": "user", "content": QUESTION}]}
    parts = [
        f"curl {shlex.quote(a.base + '/chat/completions')}",
        f"-H {shlex.quote('Authorization: Bearer ' + a.key)}",
        "-H 'Content-Type: application/json'",
        f"-d {shlex.quote(json.dumps(question))}",
    ]
    return " \\\n  ".join(parts) + "\n"


def _python(a: Access) -> str:
    return f"""# pip install openai
from openai import OpenAI

client = OpenAI(base_url={json.dumps(a.base)}, api_key={json.dumps(a.key)})
stream = client.chat.completions.create(
    model={json.dumps(a.model)},
    messages=[{{"role": "user", "content": {json.dumps(QUESTION)}}}],
    stream=True,
)
for chunk in stream:
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="", flush=True)
"""


def _javascript(a: Access) -> str:
    return f"""// npm install openai
import OpenAI from "openai";

const client = new OpenAI({{ baseURL: {json.dumps(a.base)}, apiKey: {json.dumps(a.key)} }});
const stream = await client.chat.completions.create({{
  model: {json.dumps(a.model)},
  messages: [{{ role: "user", content: {json.dumps(QUESTION)} }}],
  stream: true,
}});
for await (const chunk of stream) {{
  process.stdout.write(chunk.choices[0]?.delta?.content ?? "");
}}
"""


def _langchain(a: Access) -> str:
    return f"""# pip install langchain-openai
from langchain_openai import ChatOpenAI

model = ChatOpenAI(
    base_url={json.dumps(a.base)},
    api_key={json.dumps(a.key)},
    model={json.dumps(a.model)},
)
print(model.invoke({json.dumps(QUESTION)}).content)
"""


def _open_webui(a: Access) -> str:
    base = in_container(a.base)
    return f"""docker run -d -p 3000:8080 --name open-webui \\
  --add-host=host.docker.internal:host-gateway \\
  -e OPENAI_API_BASE_URL={base} \\
  -e OPENAI_API_KEY={a.key} \\
  -v open-webui:/app/backend/data ghcr.io/open-webui/open-webui:main
"""


def _dify(a: Access) -> str:
    return f"""Model type:               LLM
Model name:               {a.model}
API Key:                  {a.key}
API endpoint URL:         {in_container(a.base)}
Completion mode:          Chat
Model context size:       {a.context_tokens or 4096}
Upper bound for max tokens: {a.max_new_tokens}
"""


def _cline(a: Access) -> str:
    return f"""API Provider:      OpenAI Compatible
Base URL:          {a.base}
API Key:           {a.key}
Model ID:          {a.model}
Context window:    {a.context_tokens or 4096}
Max output tokens: {a.max_new_tokens}
"""


_MAKERS = {
    "curl": _curl,
    "python": _python,
    "javascript": _javascript,
    "langchain": _langchain,
    "open_webui": _open_webui,
    "dify": _dify,
    "cline": _cline,
}
