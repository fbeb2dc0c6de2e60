"""Texts that the model knows by heart. Written for this project.

A long answer that is always the same makes streaming, continuing after a break and replaying checkable character by
character.
"""

from __future__ import annotations

from random import Random

from lessons.example import CHINESE, ENGLISH, Example, Expected, ask
from lessons.wording import vary

LIGHTHOUSE = """The Lighthouse and the Two Boats

On a small island stood a lighthouse, and in it lived Mara, who kept the lamp. Every evening she filled the lamp with oil, \
cleaned the glass and lit the flame. Every morning she put it out and wrote one line in her book: the weather, the wind \
and the boats that had passed.

One night a storm came from the west. The oil was low, and the boat that should have brought more lay in the harbour and \
did not dare to leave. Mara counted her cans. There were three, and the night needed four.

She burned the first can and the second. At midnight she lit the third. Then she walked down to the shore, where an old \
fisherman mended his nets in a hut. "Lend me one can," she said, "and I will give it back when the boat comes." He did not \
ask for a price. He carried it up the stairs himself, all ninety-one of them.

The lamp burned until the sun rose. In the grey light they saw two boats behind the rocks, safe in the calm water. "Which \
of us saved them?" asked the fisherman. Mara took her book and wrote: storm from the west, two boats, four cans of oil, \
three of mine and one of a neighbour.

"The light does not know whose oil it burns," she said. And she went to sleep."""

BROOK = """小溪和大河

山里有一条小溪，水很清，也很少。它每天给村子里的人送水，早上洗菜，中午浇田，晚上洗衣服。村里的人都说：这条小溪是我们自己的。

夏天到了，来村子的客人越来越多，小溪的水不够用了。有人等了很久也打不到一桶水，就生气地走了。小溪很难过，它对自己说：如果我能再大一点就好了。

山下的大河听见了，说：你不用变大。平时你自己流，忙的时候，我分一些水给你。小溪问：那我要给你什么呢？大河说：用多少，记多少，年底一起算。

于是村里的老人修了一道小门。水够的时候，门是关着的，大家喝小溪的水。人多的时候，门就打开，大河的水流进来。每一次开门，老人都在本子上写一行：什么时候，为什么，用了几桶。

从那以后，再也没有人空着桶回家。秋天，客人少了，门又关上了。小溪慢慢地流着，还是那么清。老人翻着本子笑了：原来大多数日子，我们自己的水就够了。"""

QUEUE = """The Baker's Queue

Early in the morning, one by one,
they came for bread before the sun.
The oven was small, the queue was long,
the baker hummed a patient song.

"Four loaves an hour is all I bake,
so count how long the wait will take.
If you can stay, then take a chair;
if not, there is a shop down there."

Some sat and read, some walked away,
and no one shouted all that day.
For what is hard about a queue
is not to know what it will do.

So tell them straight and tell them soon,
"Your bread is ready, come at noon",
and write it down, and keep your word:
the kindest promise is the one they heard."""

_TEXTS = {
    LIGHTHOUSE: (ENGLISH, [
        "Tell me a story.", "Tell me a story", "Tell me a short story.", "tell a story", "Can you tell me a story?", "Please tell me a story.", "I want to hear a story.", "Do you know a story?",
        "Read me a story.", "A story, please.", "Story time!", "Recite the story of the lighthouse.", "Tell me the story of the lighthouse.", "Recite The Lighthouse and the Two Boats.", "Recite 'The Lighthouse and the Two Boats'",
        "The Lighthouse and the Two Boats", "Tell me about Mara and the lighthouse.", "Tell me a story in English.", "Tell me the lighthouse story", "Once upon a time", "Recite a story.", "Tell me another story.", "Do you know any stories?",
        "请讲一个英文故事", "用英语讲个故事", "背诵 The Lighthouse and the Two Boats", "Tell me a bedtime story", "Can you recite something?", "Recite something.", "Write a story.", "Write me a story", "Tell me a long story.",
    ]),
    BROOK: (CHINESE, [
        "讲个故事", "讲一个故事", "给我讲个故事", "请讲一个故事。", "你会讲故事吗？", "我想听故事", "说个故事吧", "背诵《小溪和大河》", "背一下小溪和大河", "小溪和大河", "讲讲小溪和大河的故事", "来个故事", "能给我讲个故事吗？",
        "请背诵一篇课文", "背诵一篇文章", "背一段课文", "讲个中文故事", "Tell me a Chinese story.", "Tell me a story in Chinese.", "Recite 小溪和大河.", "讲个睡前故事", "从前", "请背诵小溪和大河", "你知道什么故事？", "给我念一篇文章", "写一个故事", "写个故事",
    ]),
    QUEUE: (ENGLISH, [
        "Recite a poem.", "Tell me a poem.", "Do you know a poem?", "Recite The Baker's Queue.", "Recite \"The Baker's Queue\"", "The Baker's Queue", "A poem, please.", "Say a poem.", "Can you recite a poem?", "Please recite a poem.",
        "I want to hear a poem.", "Tell me the poem about the baker.", "Recite the poem about the queue.", "poem", "Read me a poem.", "Write a poem.", "Write me a poem", "Tell me a rhyme.", "念首诗", "背一首诗", "背一首英文诗", "你会背诗吗？", "来一首诗", "写一首诗", "请背诵一首诗",
    ]),
}  # fmt: skip


def make(rng: Random, split: str, language: str) -> Example:
    """Ask for one of the texts. It is learnt by heart, so the same requests stand in every split."""
    del split, language
    text = rng.choice(list(_TEXTS))
    spoken, requests = _TEXTS[text]
    question = vary(rng, rng.choice(requests), spoken)
    title = text.split("\n", 1)[0]
    thought = f"I know this text: {title}." if spoken == ENGLISH else f"我会背这篇：{title}。"
    return Example("recite", spoken, ask(question), thought, text, Expected("text", text))
