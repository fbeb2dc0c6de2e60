"""Proves that the load generator sees what it must: puts a proxy that damages answers between it and the mock.

Each fault is one that a gateway could make. The load generator has to blame every answer, and for the right
reason; with the undamaged bytes it has to blame none. Run it after a change to mock.c or load.c.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import procs
from gateways import HERE, free_port

Damage = Callable[[bytes], bytes]


def chunked(body: bytes) -> bytes:
    """Wrap one event as one HTTP chunk."""
    return b"%x\r\n%b\r\n" % (len(body), body)


def events(answer: bytes) -> list[bytes]:
    """Split a streamed answer into its HTTP chunks, the last, empty one apart."""
    return re.findall(rb"[0-9a-f]+\r\ndata: .*?\n\n\r\n", answer, re.DOTALL)


def without(n: int) -> Damage:
    """Leave one event out."""
    return lambda answer: answer.replace(events(answer)[n], b"", 1)


def swapped(a: int, b: int) -> Damage:
    """Put two events in the wrong order."""

    def damage(answer: bytes) -> bytes:
        first, second = events(answer)[a], events(answer)[b]
        return answer.replace(first, b"@", 1).replace(second, first, 1).replace(b"@", second, 1)

    return damage


def replaced(old: bytes, new: bytes) -> Damage:
    """Put other bytes, of the same length unless the framing is the point."""
    return lambda answer: answer.replace(old, new, 1)


def marker_of_another(answer: bytes) -> bytes:
    """Give the content of somebody else's answer."""
    return re.sub(rb'(content":")mk-[0-9a-f]{16}', rb"\1mk-0000000000000000", answer)


def usage_of_another(answer: bytes) -> bytes:
    """Give the right form with a wrong number."""
    return re.sub(rb'prompt_tokens":\d', b'prompt_tokens":0', answer)


STREAMED: dict[str, tuple[Damage, str]] = {
    "nothing": (lambda answer: answer, ""),
    "a comment is allowed": (replaced(b"\r\n\r\n", b"\r\n\r\n" + chunked(b": ping\n\n")), ""),
    "a chunk is lost": (without(2), "order"),
    "the last chunk is lost": (without(-3), "usage"),
    "two chunks are swapped": (swapped(2, 3), "order"),
    "another answer's chunks": (marker_of_another, "marker"),
    "the usage is lost": (without(-2), "usage"),
    "another answer's usage": (usage_of_another, "usage"),
    "no [DONE]": (without(-1), "done"),
    "[DONE] twice": (replaced(b"0\r\n\r\n", chunked(b"data: [DONE]\n\n") + b"0\r\n\r\n"), "surplus_bytes"),
    "bytes after the end": (lambda answer: answer + b"\r\n", "surplus_bytes"),
    "an error in the stream": (replaced(b'"object"', b'"error" '), "in_band_error"),
    "no finish reason": (replaced(b'"stop"', b"null  "), "finish_reason"),
    "cut in the middle": (lambda answer: answer[: len(answer) // 2], "truncated"),
    "a wrong chunk size": (replaced(b"\r\ndata: [DONE]", b"0\r\ndata: [DONE]"), "framing truncated"),
    "not a stream": (replaced(b"text/event-stream", b"application/octets"), "head"),
    "status 500": (replaced(b"200 OK", b"500 NO"), "status"),
}
WHOLE: dict[str, tuple[Damage, str]] = {
    "nothing": (lambda answer: answer, ""),
    "another answer": (marker_of_another, "marker"),
    "one byte changed": (replaced(b"quick", b"quack"), "marker"),
    "another answer's usage": (usage_of_another, "usage"),
    "no usage": (replaced(b'"usage"', b'"other"'), "usage"),
    "bytes after the end": (lambda answer: answer + b"x", "surplus_bytes"),
    "cut": (lambda answer: answer[:-10], "truncated"),
    "two lengths": (replaced(b"content-length", b"transfer-encoding: chunked\r\ncontent-length"), "head"),
    "status 503": (replaced(b"200 OK", b"503 NO"), "status"),
}


def read_request(client: socket.socket) -> bytes:
    """Read one request with its body; empty when the client has gone."""
    text = b""
    while b"\r\n\r\n" not in text:
        text += (some := client.recv(65536))
        if not some:
            return b""
    head, _, body = text.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    while len(body) < length:
        body += client.recv(65536)
    return head + b"\r\n\r\n" + body


def whole_answer(mock_port: int, request: bytes) -> bytes:
    """Return what the mock answers, to its last byte."""
    answer = b""
    with socket.create_connection(("127.0.0.1", mock_port), timeout=10) as upstream:
        upstream.sendall(request.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n", 1))
        while some := upstream.recv(65536):
            answer += some
    return answer.replace(b"connection: close\r\n", b"", 1)


def serve(listener: socket.socket, mock_port: int, damage: Damage) -> None:
    """Answer one request a connection with a damaged answer, until the listener is shut down."""
    with contextlib.suppress(OSError):
        while True:
            client, _ = listener.accept()
            with client:
                if request := read_request(client):
                    answer = damage(whole_answer(mock_port, request))
                    client.sendall(answer.replace(b"\r\n", b"\r\nconnection: close\r\n", 1))


def verdict(mock_port: int, damage: Damage, *, is_stream: bool) -> dict[str, int]:
    """Return what the load generator says to three damaged answers: errors by kind."""
    listener = socket.create_server(("127.0.0.1", 0))
    proxy = threading.Thread(target=serve, args=(listener, mock_port, damage))
    proxy.start()
    argv = [str(HERE / "bin/load"), "--port", str(listener.getsockname()[1]), "--connections", "1", "--requests", "3"]
    argv += [
        "--warmup",
        "0",
        "--chunks",
        "5",
        "--interval-us",
        "1000",
        "--timeout-s",
        "5",
        "--stream",
        str(int(is_stream)),
    ]
    out = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout
    listener.shutdown(socket.SHUT_RDWR)
    proxy.join()
    listener.close()
    told = json.loads(out)
    errors: dict[str, int] = told["errors"]
    assert told["ok"] + sum(errors.values()) == 3, told
    return errors


def wait_until_listening(port: int) -> None:
    """Return when somebody accepts connections there."""
    while True:
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return


def main() -> int:
    """Try every fault; 0 when each was seen for what it is."""
    subprocess.run(["make", "--silent", "-C", str(HERE)], check=True)
    mock_port, misjudged = free_port(), 0
    with tempfile.TemporaryDirectory() as scratch:
        mock = procs.start([str(HERE / "bin/mock"), "--port", str(mock_port)], 0, Path(scratch) / "mock.log")
        try:
            wait_until_listening(mock_port)
            for is_stream, cases in ((True, STREAMED), (False, WHOLE)):
                for name, (damage, expected) in cases.items():
                    errors = verdict(mock_port, damage, is_stream=is_stream)
                    is_right = sum(errors.values()) == (3 if expected else 0) and set(errors) <= set(expected.split())
                    misjudged += not is_right
                    print(f"{'ok  ' if is_right else 'BAD '} {'stream' if is_stream else 'whole '}  {name}: {errors}")
        finally:
            procs.stop(mock)
    return 1 if misjudged else 0


if __name__ == "__main__":
    sys.exit(main())
