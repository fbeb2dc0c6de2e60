"""Twelve questions at once to a home with two slots: nobody is refused, some leave, and each answer says why."""

from __future__ import annotations

import asyncio
from collections import Counter

from openai import AsyncOpenAI

QUESTIONS = 12


async def ask(client: AsyncOpenAI, number: int) -> tuple[str, str]:
    """Return where the question was answered, and why there."""
    response = await client.chat.completions.with_raw_response.create(
        model="chat",
        messages=[{"role": "user", "content": f"Tell me story number {number}."}],
        max_tokens=300,
        extra_body={"ignore_eos": True},  # llama.cpp then writes all of them
    )
    return response.headers["x-overspill-target"], response.headers["x-overspill-reason"]


async def main() -> None:
    """Ask all at once and count."""
    async with AsyncOpenAI(base_url="http://127.0.0.1:8788/v1", api_key="unused", max_retries=0) as client:
        places = await asyncio.gather(*(ask(client, number) for number in range(QUESTIONS)))
    print(f"{len(places)} answers")
    for (target, reason), count in sorted(Counter(places).items()):
        print(f"{count:3} by {target}: {reason}")


if __name__ == "__main__":
    asyncio.run(main())
