"""How much memory a process holds, on any system.

Linux      /proc
Windows    K32GetProcessMemoryInfo
others     ps, which POSIX asks for
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_QUERY = 0x1000
"""PROCESS_QUERY_LIMITED_INFORMATION"""


def resident(pid: int) -> int | None:
    """Bytes of a process that are in memory; None where that cannot be told, or it has ended."""
    if sys.platform == "win32":
        return _of_windows(pid)
    if sys.platform == "linux":
        return _of_proc(pid)
    return _of_ps(pid)


def _of_proc(pid: int) -> int | None:
    import resource

    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    except (OSError, IndexError):
        return None
    return int(pages) * resource.getpagesize()


def _of_ps(pid: int) -> int | None:
    try:
        told = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True)
    except OSError:
        return None
    return int(told.stdout) << 10 if told.stdout.strip().isdigit() else None


def _of_windows(pid: int) -> int | None:
    import ctypes

    sizes = ctypes.c_size_t * 8
    counts = ctypes.c_uint32 * 2

    class Counters(ctypes.Structure):
        """PROCESS_MEMORY_COUNTERS: its size, page faults, and bytes: the second is what is held."""

        _fields_ = [("counts", counts), ("sizes", sizes)]

    kernel = ctypes.windll.kernel32  # type: ignore[attr-defined]
    kernel.OpenProcess.restype = ctypes.c_void_p
    process = ctypes.c_void_p(kernel.OpenProcess(_QUERY, False, pid))
    if not process:
        return None
    counters = Counters()
    counters.counts[0] = ctypes.sizeof(counters)
    try:
        told = kernel.K32GetProcessMemoryInfo(
            process, ctypes.byref(counters), ctypes.sizeof(counters)
        )
        return int(counters.sizes[1]) if told else None
    finally:
        kernel.CloseHandle(process)
