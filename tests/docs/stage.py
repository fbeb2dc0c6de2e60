"""Runs the blocks of a page: one bash session in an empty folder, gateways in the background, nothing beyond loopback.

The ports 8788 and 8789 of the pages are replaced by free ones, so pages can be tested beside a gateway that runs.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

from tests.docs.markdown import Block, Page

PORTS = ("8788", "8789")
_TIMEOUT_S = 60.0
_KEPT = ("PATH", "LANG", "LC_ALL", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "COVERAGE_PROCESS_START")
"""Variables handed on. Keys of providers are not among them: no test may call anybody's API."""
_WAIT = Path(__file__).with_name("wait_ready.py")
_PROLOGUE = """\
set -euo pipefail
declare -A servers
stop() {
  if [[ -n "${servers[$1]:-}" ]]; then
    kill -TERM "${servers[$1]}" 2>/dev/null || true
    wait "${servers[$1]}" || { echo "the gateway on port $1 ended with code $?"; status=90; }
    unset "servers[$1]"
  fi
}
finish() {
  status=$?
  trap - EXIT
  for port in "${!servers[@]}"; do stop "$port"; done
  exit "$status"
}
trap finish EXIT
"""


def play(page: Page, folder: Path) -> list[str]:
    """Run the page's blocks in ``folder`` and return what each printed; fail where one fails or shows other things."""
    ports = dict(zip(PORTS, _free_ports(len(PORTS)), strict=True))
    shutil.copytree("examples", folder / "examples")
    for example in (folder / "examples").rglob("*.*"):
        example.write_text(_with_ports(example.read_text(encoding="utf-8"), ports), encoding="utf-8")
    script = _PROLOGUE + "".join(_step(number, block, ports) for number, block in enumerate(page.blocks))
    (folder / ".script.sh").write_text(script, encoding="utf-8")
    code, printed = _run(folder, ports)
    outputs = re.split(r"^::block \d+::\n", printed, flags=re.MULTILINE)[1:]
    at = page.blocks[len(outputs) - 1].line if outputs else 0
    assert code == 0, f"{page.path}:{at}: exit code {code}\n{printed}"
    _check_shown(page, outputs, ports)
    return outputs


def _run(folder: Path, ports: dict[str, str]) -> tuple[int, str]:
    environ = {name: os.environ[name] for name in _KEPT if name in os.environ}
    environ |= {
        "PATH": f"{Path(sys.executable).parent}:{environ.get('PATH', '')}",
        "XDG_STATE_HOME": str(folder / ".state"),
        "XDG_CACHE_HOME": str(folder / ".cache"),
        "OVERSPILL_PORT": ports[PORTS[0]],
        "PYTHONWARNINGS": "error",
    }
    process = subprocess.Popen(
        ["bash", ".script.sh"],
        cwd=folder,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        text=True,
    )
    try:
        printed, _ = process.communicate(timeout=_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        _kill(process)
        printed, _ = process.communicate()
        printed += f"\nkilled after {_TIMEOUT_S:.0f} s"
    finally:
        _kill(process)
    return process.returncode, printed


def _kill(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _step(number: int, block: Block, ports: dict[str, str]) -> str:
    """Return the lines of the script for one block."""
    head = f"printf '\\n::block {number}::\\n'\n"  # what was printed before may lack its line end
    text = _with_ports(block.text, ports)
    argument = _with_ports(block.argument, ports)
    if block.action == "run" and argument:
        return f"{head}{argument}\n"
    if block.action == "run" and block.language == "python":
        return f"{head}python - <<'END-OF-BLOCK'\n{text}END-OF-BLOCK\n"
    if block.action == "run":
        return head + text
    if block.action == "file":
        return f"{head}cat > {shlex.quote(argument)} <<'END-OF-BLOCK'\n{text}END-OF-BLOCK\n"
    if block.action == "serve":
        command = argument or text.strip()
        addresses, log = f".addresses-{number}", f".log-{number}"
        port = next((port for port in ports.values() if f"--port {port}" in command), ports[PORTS[0]])
        return (
            f"{head}stop {port}\n{command} --address-file {addresses} > {log} 2>&1 &\nservers[{port}]=$!\n"
            f"python {shlex.quote(str(_WAIT.resolve()))} {addresses} {log}\ncat {log}\n"
        )
    return head


def _check_shown(page: Page, outputs: list[str], ports: dict[str, str]) -> None:
    for block, output in zip(page.blocks[1:], outputs, strict=False):
        if block.action != "shows":
            continue
        lines = iter(output.splitlines())
        for wanted in filter(None, map(str.strip, _with_ports(block.text, ports).splitlines())):
            pattern = re.compile(".*".join(re.escape(part) for part in wanted.split("…")))
            assert any(pattern.search(line) for line in lines), (
                f"{page.path}:{block.line}: {wanted!r} is not in, or not in this order in\n{output}"
            )


def _with_ports(text: str, ports: dict[str, str]) -> str:
    for port, free in ports.items():
        text = text.replace(port, free)
    return text


def _free_ports(count: int) -> list[str]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [str(one.getsockname()[1]) for one in sockets]
