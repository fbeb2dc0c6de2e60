"""The gateways under test: how each is started in front of the same mock upstreams, and when it counts as ready."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import procs

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
KEY = "sk-bench-0123456789abcdef"  # every gateway that can check a key has to
READY_PATIENCE_S = 60.0


def free_port() -> int:
    """Find a port of the loopback address that nothing listens on now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@dataclass
class Gateway:
    """One gateway: subclasses give its command line, and write the configuration that it reads."""

    upstream_ports: list[int]
    folder: Path  # scratch: configuration and log
    core: int
    name: str = ""
    port: int = 0
    ready_s: float = 0.0
    env: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[str] | None = None

    def missing(self) -> str:
        """Say why this gateway cannot run here, and what to do; empty when it can."""
        return ""

    def command(self) -> list[str]:
        """Build the command line; called before each start, after `port` was chosen."""
        raise NotImplementedError

    def start(self) -> None:
        """Start it and wait until it has answered a chat request, which sets `ready_s`."""
        self.port = free_port()
        argv = self.command()
        began = time.monotonic()
        self.process = procs.start(argv, self.core, self.log, self.env)
        while not answers_chat(self.port):
            if self.process.poll() is not None:
                raise SystemExit(f"{self.name} ended with status {self.process.returncode}; its output: {self.log}")
            if time.monotonic() - began > READY_PATIENCE_S:
                raise SystemExit(f"{self.name} did not answer within {READY_PATIENCE_S:.0f} s; its output: {self.log}")
            time.sleep(0.01)
        self.ready_s = time.monotonic() - began

    def stop(self) -> None:
        """End it, if it runs."""
        if self.process is not None:
            procs.stop(self.process)
            self.process = None

    @property
    def pid(self) -> int:
        """Return the root of the process tree to measure."""
        assert self.process is not None
        return self.process.pid

    @property
    def log(self) -> Path:
        """Return the file with what it prints."""
        return self.folder / f"{self.name}.log"


def answers_chat(port: int) -> bool:
    """Send one chat request through the gateway; true when the upstream's answer came back."""
    body = {"model": "mock-model", "messages": [{"role": "user", "content": "mk-0123456789abcdef/1/1000"}]}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        headers = {"content-type": "application/json", "authorization": f"Bearer {KEY}"}
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        response = connection.getresponse()
        return response.status == 200 and b"mk-0123456789abcdef" in response.read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


class Overspill(Gateway):
    """This project, with everything on that a user has on: keys, admission, Controller, ledger, metrics.

    Compiled (`make compiled`), unless OVERSPILL names another program.
    """

    def missing(self) -> str:
        """Look for the project's own virtual environment."""
        return "" if self._program().exists() else f"{self._program()} is missing: run `make compiled` first"

    def _program(self) -> Path:
        return Path(os.environ.get("OVERSPILL", ROOT / ".venv-compiled/bin/overspill"))

    def command(self) -> list[str]:
        """Fill this run's ports and folder into the committed configuration."""
        text = (HERE / "overspill.yaml").read_text()
        for i, port in enumerate(self.upstream_ports):
            text = text.replace(f"127.0.0.1:{18081 + i}", f"127.0.0.1:{port}")
        config = self.folder / f"{self.name}.yaml"
        config.write_text(text.replace("/tmp/overspill-bench/", f"{self.folder}/{self.name}-"))
        self.env = {"OVERSPILL_BENCH_KEY": KEY, "OVERSPILL_BENCH_UPSTREAM_KEY": "none"}
        return [str(self._program()), "serve", "--config", str(config), "--port", str(self.port)]


class OverspillInterpreted(Overspill):
    """The same from the source folder, not compiled."""

    def _program(self) -> Path:
        return ROOT / ".venv/bin/overspill"


class SglangRouter(Gateway):
    """sglang-router with its key check on and the policy that it has when none is named; without polling."""

    policy = "cache_aware"

    def missing(self) -> str:
        """Look for an environment of its own: its dependencies are no business of the project's."""
        if self._python().exists():
            return ""
        remedy = "python3 -m venv .venv-bench && .venv-bench/bin/pip install sglang-router==0.3.2"
        return f"{self._python()} is missing: {remedy}"

    def _python(self) -> Path:
        return ROOT / ".venv-bench/bin/python"

    def command(self) -> list[str]:
        """Name the workers, so that nothing is discovered; log warnings only, so not a line for each request."""
        workers = [f"http://127.0.0.1:{port}" for port in self.upstream_ports]
        # It looks for the model's tokenizer at a hub as it starts: the mock says that there is none.
        self.env = {"HF_ENDPOINT": workers[0]}
        return [
            *(str(self._python()), "-m", "sglang_router.launch_router", "--host", "127.0.0.1"),
            *("--port", str(self.port), "--worker-urls", *workers, "--api-key", KEY, "--policy", self.policy),
            *("--disable-health-check", "--log-level", "warn", "--prometheus-port", str(free_port())),
        ]


class SglangRouterRoundRobin(SglangRouter):
    """The same with its cheapest policy, which looks at nothing."""

    policy = "round_robin"


class Nginx(Gateway):
    """nginx as a bare reverse proxy, one process: what moving the bytes costs at least."""

    def missing(self) -> str:
        """Look for the system's package."""
        return "" if shutil.which("nginx") else "nginx is missing: apt-get install nginx-light, or the like"

    def command(self) -> list[str]:
        """Configure it unbuffered, with upstream keep-alive, nothing logged."""
        servers = "".join(f"server 127.0.0.1:{port} max_fails=0; " for port in self.upstream_ports)
        temp = " ".join(
            f"{kind}_temp_path {self.folder}/nginx-{kind};"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        config = self.folder / "nginx.conf"
        config.write_text(f"""
daemon off; master_process off; worker_processes 1; pid {self.folder}/nginx.pid;
error_log {self.log} warn;
events {{ worker_connections 8192; }}
http {{
  access_log off; {temp}
  keepalive_timeout 1h; keepalive_requests 1000000000; client_body_buffer_size 64k;
  upstream engines {{ {servers} keepalive 2048; keepalive_requests 1000000000; keepalive_timeout 1h; }}
  server {{
    listen 127.0.0.1:{self.port} backlog=4096;
    location / {{
      proxy_pass http://engines; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off; proxy_read_timeout 1h;
    }}
  }}
}}
""")
        return ["nginx", "-p", str(self.folder), "-c", str(config), "-e", str(self.log)]


KINDS: dict[str, type[Gateway]] = {
    "overspill": Overspill,
    "sglang-router": SglangRouter,
    "sglang-router-round-robin": SglangRouterRoundRobin,
    "nginx": Nginx,
    "overspill-interpreted": OverspillInterpreted,
}
