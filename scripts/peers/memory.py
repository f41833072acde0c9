"""A process's largest memory, as the kernel counts it; no library is imported here, for it would be counted too."""

from __future__ import annotations

from pathlib import Path


def peak_bytes() -> int | None:
    """Largest resident memory so far (VmHWM), or since the last reset."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def reset_peak() -> bool:
    """Starts VmHWM again from what is resident now; not every kernel lets it."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return True
    except OSError:
        return False
