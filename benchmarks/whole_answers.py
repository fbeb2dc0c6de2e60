"""What it costs to ask for a whole answer as a stream: CPU per token, beside reading the same answer in one piece.

    python benchmarks/whole_answers.py

In a loop, with warm caches and no sockets: decoding events, reading them for progress and putting the body together,
as the relay does for ``stream_whole_answers`` (the default), against the one look at a body that comes whole. Both take
turns; medians.
"""

from __future__ import annotations

import statistics
import time

import msgspec

from overspill.wire.aggregate import Aggregator
from overspill.wire.chunks import is_done, read_chunk, read_whole
from overspill.wire.sse import SseDecoder

ROUNDS = 31
TOKENS = (1, 50, 500)
HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}


def events(tokens: int) -> list[bytes]:
    """Return a stream of so many tokens, an event at a time."""
    deltas = [{"role": "assistant"}, *({"content": f" word{n}"} for n in range(tokens))]
    chunks = [HEAD | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks.append(HEAD | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    return [b"data: " + msgspec.json.encode(chunk) + b"\n\n" for chunk in chunks] + [b"data: [DONE]\n\n"]


def gather(stream: list[bytes]) -> bytes:
    """Put a stream together."""
    decoder, aggregator = SseDecoder(), Aggregator("chat")
    for piece in stream:
        for event in decoder.feed(piece):
            assert event.data is not None  # it has no comments
            if not is_done(event.data):
                read_chunk(event.data)
                aggregator.add(event.data)
    return aggregator.finish()


def main() -> None:
    """Print a table."""
    print("| tokens | as a stream, µs | in one piece, µs | more per token, µs |\n|---|---|---|---|")
    for tokens in TOKENS:
        stream = events(tokens)
        body = gather(stream)
        assert read_whole(body).has_content
        taken: tuple[list[float], list[float]] = ([], [])
        for _ in range(ROUNDS):
            began = time.process_time()
            gather(stream)
            between = time.process_time()
            read_whole(body)
            taken[0].append(between - began)
            taken[1].append(time.process_time() - between)
        streamed, whole = (statistics.median(times) * 1e6 for times in taken)
        print(f"| {tokens} | {streamed:.0f} | {whole:.0f} | {(streamed - whole) / tokens:.1f} |")


if __name__ == "__main__":
    main()
