// Drives the `@anthropic-ai/sdk` package as its README does. In: one JSON document as argument; out: one JSON document.
import Anthropic from "@anthropic-ai/sdk";

const order = JSON.parse(process.argv[2]);
const client = new Anthropic({ baseURL: order.url.replace(/\/v1$/, ""), apiKey: "sk-test" });
const messages = [{ role: "user", content: order.question }];
const asked = { model: order.model, max_tokens: 4096, thinking: { type: "enabled", budget_tokens: 2048 }, messages };
const said = { text: "", reasoning: "", error: "" };

function add(content) {
  for (const block of content) {
    if (block.type === "text") said.text += block.text;
    if (block.type === "thinking") said.reasoning += block.thinking;
  }
}

const tool = {
  name: order.tool,
  description: "Get the weather of a city",
  input_schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
};

const ways = {
  async whole() {
    add((await client.messages.create(asked)).content);
  },
  async stream() {
    const stream = client.messages.stream(asked);
    stream.on("text", (text) => (said.text += text));
    stream.on("thinking", (text) => (said.reasoning += text));
    await stream.finalMessage();
  },
  async tool() {
    for (;;) {
      const message = await client.messages.stream({ ...asked, tools: [tool] }).finalMessage();
      if (message.stop_reason !== "tool_use") return add(message.content);
      const results = message.content
        .filter((block) => block.type === "tool_use")
        .map(({ id, input }) => ({
          type: "tool_result",
          tool_use_id: id,
          content: input.city === "Chengdu" ? order.result : `no weather of ${input.city}`,
        }));
      messages.push({ role: "assistant", content: message.content }, { role: "user", content: results });
    }
  },
};

try {
  await ways[order.what]();
} catch (error) {
  if (!(error instanceof Anthropic.AnthropicError)) throw error;
  said.error = String(error);
}
console.log(JSON.stringify(said));
