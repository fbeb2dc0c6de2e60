"""One answer through OpenAI's client, and where it came from."""

from __future__ import annotations

from openai import OpenAI


def main() -> None:
    """Ask once."""
    with OpenAI(base_url="http://127.0.0.1:8788/v1", api_key="unused") as client:
        response = client.chat.completions.with_raw_response.create(
            model="chat", messages=[{"role": "user", "content": "Tell me a story."}], max_tokens=40
        )
    answer = response.parse()
    print(answer.choices[0].message.content)
    print(f"answered by {response.headers['x-overspill-target']} ({response.headers['x-overspill-reason']})")


if __name__ == "__main__":
    main()
