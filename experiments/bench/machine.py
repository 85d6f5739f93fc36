"""The machine that measures, in words."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_LIBRARIES = ("numpy", "numba", "llvmlite", "mesa", "pyarrow", "pandas")


def describe() -> dict[str, str]:
    """Return processor, memory, system and versions, by name."""
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "memory": _memory(),
        "system": platform.platform(),
        "python": sys.version.split()[0],
        "libraries": ", ".join(f"{name} {_version_of(name)}" for name in _LIBRARIES),
        "load before": _load(),
    }


def _field_of(file: str, name: str) -> str | None:
    try:
        lines = Path(file).read_text("utf-8").splitlines()
    except OSError:  # not Linux
        return None
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return None


def _processor() -> str:
    return _field_of("/proc/cpuinfo", "model name") or platform.processor() or platform.machine()


def _memory() -> str:
    found = _field_of("/proc/meminfo", "MemTotal")
    return f"{int(found.split()[0]) / 1024**2:.0f} GiB" if found else "unknown"


def _load() -> str:
    return f"{os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "unknown"


def _version_of(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def resident_bytes() -> int:
    """Return the memory that this process holds now, bytes; 0 where the system does not say."""
    found = _field_of("/proc/self/status", "VmRSS")
    return int(found.split()[0]) * 1024 if found else 0
