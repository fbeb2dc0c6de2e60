"""A request that must not leave: it waits for home, and is refused where there is none."""

from __future__ import annotations

from openai import InternalServerError, OpenAI

HERE = {"x-overspill-local-only": "true"}


def main() -> None:
    """Ask at home, then for something that is not there."""
    with OpenAI(base_url="http://127.0.0.1:8788/v1", api_key="unused", max_retries=0) as client:
        response = client.chat.completions.with_raw_response.create(
            model="chat",
            messages=[{"role": "user", "content": "Between you and me."}],
            max_tokens=20,
            extra_headers=HERE,
        )
        print(f"answered by {response.headers['x-overspill-target']} ({response.headers['x-overspill-reason']})")
        try:
            client.chat.completions.create(
                model="elsewhere", messages=[{"role": "user", "content": "Between you and me."}], extra_headers=HERE
            )
        except InternalServerError as error:
            print(f"a model that is only elsewhere: HTTP {error.status_code}, {error.code}")


if __name__ == "__main__":
    main()
