"""A stream, printed as it comes, with the time to its first token."""

from __future__ import annotations

import time

from openai import OpenAI


def main() -> None:
    """Ask once, and print what comes."""
    started_s = time.perf_counter()
    first_token_s: float | None = None
    with OpenAI(base_url="http://127.0.0.1:8788/v1", api_key="unused") as client:
        stream = client.chat.completions.create(
            model="chat",
            messages=[{"role": "user", "content": "Tell me a story."}],
            max_tokens=100,
            stream=True,
            stream_options={"include_usage": True},
        )
        for chunk in stream:
            text = chunk.choices[0].delta.content if chunk.choices else None
            if text and first_token_s is None:
                first_token_s = time.perf_counter() - started_s
            print(text or "", end="", flush=True)
            if chunk.usage is not None:
                print(f"\n{chunk.usage.completion_tokens} tokens", end="")
    print(f", first token after {first_token_s:.3f} s")


if __name__ == "__main__":
    main()
