"""Processes under measurement: start one on a core, read its tree's CPU time and memory from /proc, end it."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def start(
    argv: list[str], core: int, log: Path, env: dict[str, str] | None = None, *, is_piped: bool = False
) -> subprocess.Popen[str]:
    """Start `argv` pinned to one core; its stderr, and stdout unless `is_piped`, go to `log`."""

    def pin() -> None:
        os.sched_setaffinity(0, {core})
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    with log.open("ab") as out:
        return subprocess.Popen(
            argv,
            env={**os.environ, **(env or {})},
            text=True,
            preexec_fn=pin,  # noqa: PLW1509 - no thread here holds a lock across the fork
            stdin=subprocess.PIPE if is_piped else subprocess.DEVNULL,
            stdout=subprocess.PIPE if is_piped else out,
            stderr=out,
        )


def stop(process: subprocess.Popen[str], patience_s: float = 10.0) -> None:
    """End a process that we started: ask, wait, then kill it and what it started."""
    family = tree(process.pid)
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        for pid in family:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        process.wait()


def tree(root: int) -> list[int]:
    """List the process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = _stat_fields(int(entry.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
        children.setdefault(int(fields[1]), []).append(int(entry.name))
    family, todo = [], [root]
    while todo:
        pid = todo.pop()
        family.append(pid)
        todo += children.get(pid, [])
    return family


def _stat_fields(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the third on: the second, the name, may hold spaces."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


@dataclass(frozen=True, slots=True)
class CpuReading:
    """CPU time used so far: exact per thread (ns, from the scheduler), and per tree (ticks, dead children too)."""

    at_s: float
    thread_ns: dict[int, int]
    tree_s: float
    core_busy_s: float


def read_cpu(root: int, core: int) -> CpuReading:
    """Read what the tree under `root` has used, and how long `core` was busy with anything."""
    thread_ns: dict[int, int] = {}
    ticks = 0
    for pid in tree(root):
        ticks += sum(map(int, _stat_fields(pid)[11:15]))
        for task in Path(f"/proc/{pid}/task").iterdir():
            thread_ns[int(task.name)] = int((task / "schedstat").read_text().split()[0])
    return CpuReading(time.monotonic(), thread_ns, ticks / _TICKS_PER_S, _core_busy_s(core))


def _core_busy_s(core: int) -> float:
    for line in Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name == f"cpu{core}":
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, ticks[:8])
            return (user + nice + system + irq + softirq + steal) / _TICKS_PER_S
    raise ValueError(f"/proc/stat lists no cpu{core}: choose another core")


@dataclass(frozen=True, slots=True)
class CpuUsed:
    """CPU seconds of a tree between two readings, and what else kept its core busy meanwhile (share of the time)."""

    cpu_s: float
    utilisation: float
    foreign: float


def cpu_between(before: CpuReading, after: CpuReading) -> CpuUsed:
    """Add up exact thread times; where a thread ended meanwhile, only the tree's 10 ms ticks are left."""
    if before.thread_ns.keys() <= after.thread_ns.keys():
        cpu_s = sum(ns - before.thread_ns.get(tid, 0) for tid, ns in after.thread_ns.items()) / 1e9
    else:
        cpu_s = after.tree_s - before.tree_s
    wall_s = after.at_s - before.at_s
    foreign = (after.core_busy_s - before.core_busy_s - cpu_s) / wall_s
    return CpuUsed(cpu_s, cpu_s / wall_s, max(foreign, 0.0))


def rss_mb(root: int) -> float:
    """Return the tree's resident memory in MB (10^6 bytes); shared pages count once for each process."""
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in tree(root))
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
