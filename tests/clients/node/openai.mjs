// Drives the `openai` package as its README does. In: one JSON document as argument; out: one JSON document.
import OpenAI from "openai";

const order = JSON.parse(process.argv[2]);
const client = new OpenAI({ baseURL: order.url, apiKey: "sk-test" });
const asked = { model: order.model, messages: [{ role: "user", content: order.question }] };
const said = { text: "", reasoning: "", error: "" };

function add(message) {
  said.text += message?.content ?? "";
  said.reasoning += message?.reasoning_content ?? "";
}

const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const tool = {
  type: "function",
  function: {
    name: order.tool,
    description: "Get the weather of a city",
    parameters,
    parse: JSON.parse,
    function: ({ city }) => (city === "Chengdu" ? order.result : `no weather of ${city}`),
  },
};

const ways = {
  async whole() {
    add((await client.chat.completions.create(asked)).choices[0].message);
  },
  async stream() {
    for await (const chunk of await client.chat.completions.create({ ...asked, stream: true })) {
      chunk.choices.forEach((choice) => add(choice.delta));
    }
  },
  async tool() {
    const runner = client.chat.completions.runTools({ ...asked, stream: true, tools: [tool] });
    add((await runner.finalChatCompletion()).choices[0].message);
  },
};

try {
  await ways[order.what]();
} catch (error) {
  if (!(error instanceof OpenAI.OpenAIError)) throw error;
  said.error = String(error);
}
console.log(JSON.stringify(said));
