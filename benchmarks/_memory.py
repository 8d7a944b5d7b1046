"""Anonymous memory of a process and its children: what a job needs, memory-mapped files apart (Linux, RssAnon in /proc/PID/status)."""

import threading
from pathlib import Path

import psutil


def anonymous(pid: int | None = None) -> float:
    """RssAnon of a process (this one without ``pid``) and its children, in MB."""
    total = 0
    try:
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            status = Path(f"/proc/{process.pid}/status").read_text()
            total += int(status.partition("RssAnon:")[2].split()[0] or 0)
    except (psutil.NoSuchProcess, FileNotFoundError, IndexError, ProcessLookupError):
        pass  # it ended while it was looked at
    return total * 1024 / 1e6


class Peak:
    """The largest anonymous memory while the block runs, in ``mb``, sampled every 20 ms."""

    def __init__(self, pid: int | None = None) -> None:
        self.pid = pid

    def __enter__(self) -> "Peak":
        self.mb, self.over = anonymous(self.pid), threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def watch(self) -> None:
        """Sample until the block ends."""
        while not self.over.wait(0.02):
            self.mb = max(self.mb, anonymous(self.pid))

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()
        self.mb = max(self.mb, anonymous(self.pid))
