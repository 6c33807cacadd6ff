// What OpenAI's JavaScript client reads of a server, as JSON: node openai_client.cjs URL KEY
const OpenAI = require("openai").default;

const [url, apiKey] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 });
const messages = [{ role: "user", content: "Hi" }];
const parameters = {
  type: "object",
  properties: { zone: { enum: ["UTC", "CET"] } },
  required: ["zone"],
  additionalProperties: false,
};
const tools = [{ type: "function", function: { name: "get_time", parameters } }];
const ask = { model: "tiny", messages, max_tokens: 12, temperature: 0 };
const call = {
  ...{ model: "tiny", messages, tools, tool_choice: "required", parallel_tool_calls: false },
  ...{ max_tokens: 200, seed: 3 },
};

async function streamed() {
  const options = { stream: true, stream_options: { include_usage: true } };
  let text = "", usage;
  for await (const chunk of await client.chat.completions.create({ ...ask, ...options })) {
    text += chunk.choices[0]?.delta?.content ?? "";
    usage = chunk.usage ?? usage;
  }
  return [text, usage.completion_tokens];
}

async function refused() {
  try {
    await client.chat.completions.create({ ...ask, model: "gpt-9" });
  } catch (e) {
    return [e.constructor.name, e.status, e.code];
  }
}

async function main() {
  const whole = await client.chat.completions.create(ask);
  const called = await client.chat.completions.create(call);
  const runner = await client.chat.completions.stream(call).finalChatCompletion();
  const vectors = await client.embeddings.create({ model: "tiny", input: "Hi" });
  const text = await client.completions.create({ model: "tiny", prompt: "The", max_tokens: 3 });
  return {
    models: (await client.models.list()).data.map((m) => m.id),
    whole: [whole.choices[0].message.content, whole.usage.completion_tokens],
    streamed: await streamed(),
    call: called.choices[0].message.tool_calls[0].function,
    streamed_call: runner.choices[0].message.tool_calls[0].function,
    dimensions: vectors.data[0].embedding.length,
    texts: text.choices.length,
    error: await refused(),
  };
}

main().then((found) => console.log(JSON.stringify(found)), (e) => {
  console.error(e);
  process.exit(1);
});
