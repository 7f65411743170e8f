"""What a process weighs and spends, as the kernel counts it."""

from pathlib import Path


def pss(pid: int) -> float:
    """Read the memory of *pid* in MB, with shared pages divided among those who map them."""
    return _megabytes(pid, "Pss")


def alone(pid: int) -> float:
    """Read the memory of *pid* in MB, with shared pages in full."""
    return _megabytes(pid, "Rss")


def cpu_seconds(pid: int) -> float:
    """Read the processor time that the threads of *pid* have spent, those that ended left out."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


def _megabytes(pid: int, field: str) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) / 1024
    raise ValueError(f"pid {pid} has no {field}")
