"""What this machine offers a CPU engine: instruction sets, shared libraries, cores.

The worker asks before it imports the engine, because a missing instruction kills the process with SIGILL and a missing
library gives an import error that names neither cause nor cure; ``overspill doctor`` asks the same.
Imports only the standard library: the worker must start fast.
"""

from __future__ import annotations

import ctypes
import math
import os
import platform
import sys
from pathlib import Path

# What xllamacpp's x86 wheel is compiled with (2026.10: SSE3 AVX AVX2 F16C FMA BMI2); any of them missing is a SIGILL.
WHEEL_CPU_FLAGS = ("avx2", "bmi2", "f16c", "fma")
# Left out of the wheel on purpose by its makers; slim container images do not have the first.
WHEEL_LIBRARIES = {"libgomp.so.1": "libgomp1", "libstdc++.so.6": "libstdc++6"}


def why_unsuitable() -> str | None:
    """Say why this machine cannot run the embedded engine, and what to do; ``None`` if it can."""
    if not sys.platform.startswith("linux"):
        return None
    if platform.machine() in ("x86_64", "AMD64"):
        missing = missing_cpu_flags(_read("/proc/cpuinfo"))
        if missing:
            return (
                f"this CPU lacks {', '.join(missing)}, which the prebuilt engine needs; run the engine on another"
                " machine and attach it, or build xllamacpp from source here"
            )
    for library, package in WHEEL_LIBRARIES.items():
        if not _loads(library):
            return f"{library} is missing; install it (Debian, Ubuntu: apt-get install {package})"
    return None


def missing_cpu_flags(cpuinfo: str) -> tuple[str, ...]:
    """Compare the first ``flags`` line of /proc/cpuinfo with what the wheel needs; no such line proves nothing."""
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "flags":
            present = set(value.split())
            return tuple(flag for flag in WHEEL_CPU_FLAGS if flag not in present)
    return ()


def default_threads() -> int:
    """Choose how many threads compute: the physical cores this process may use, less one for everything else."""
    return max(1, usable_cores() - 1)


def usable_cores() -> int:
    """Count physical cores, bounded by the CPU affinity and by the control group's quota."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limits = [allowed, physical_cores(_read("/proc/cpuinfo")), quota_cores(_read("/sys/fs/cgroup/cpu.max"))]
    return min(limit for limit in limits if limit is not None)


def physical_cores(cpuinfo: str) -> int | None:
    """Count the distinct (socket, core) pairs of /proc/cpuinfo; ``None`` where it does not name them."""
    cores: set[tuple[str, str]] = set()
    socket = ""
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "physical id":
            socket = value.strip()
        elif name.strip() == "core id":
            cores.add((socket, value.strip()))
    return len(cores) or None


def quota_cores(cpu_max: str) -> int | None:
    """Read a control group's ``cpu.max`` ("200000 100000" is 2 cores), rounded up; ``None`` if it sets no limit."""
    quota, _, period = cpu_max.strip().partition(" ")
    if not (quota.isdigit() and period.isdigit() and int(period) > 0):
        return None
    return max(1, math.ceil(int(quota) / int(period)))


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
