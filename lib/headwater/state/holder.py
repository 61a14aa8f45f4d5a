"""Who works on a batch, told apart from whoever gets the same process id later.

A dead process of this host need not be waited for: its lease ends with it. That claim is only made when host, boot,
pid namespace and start time are all known to match; anywhere else the lease decides.
"""

import os
import socket
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
# A zombie that its parent has not reaped yet, or a process being torn down, works no more.
GONE = frozenset("ZX")


@dataclass(frozen=True, slots=True)
class Holder:
    """One process working for one run.

    Attributes:
        boot: boot of the machine and pid namespace: containers of one host number their processes alike.
        started: start time of the process in ticks since that boot; differs when a pid is used again.
    """

    host: str
    pid: int
    boot: str
    started: str
    run_id: str

    @staticmethod
    def current(run_id: str) -> "Holder":
        """Name the calling process."""
        pid = os.getpid()
        return Holder(socket.gethostname(), pid, _boot(), _stat(pid)[1], run_id)

    def is_dead_here(self) -> bool:
        """Tell whether this was a process of this host that is certainly gone."""
        if self.host != socket.gethostname() or self.boot != _boot():
            return False
        if _has_no_process(self.pid):
            return True
        state, started = _stat(self.pid)
        return state in GONE or started not in ("", self.started)

    def __str__(self) -> str:
        """Host, pid and run, as messages print them."""
        return f"run {self.run_id} (host {self.host}, pid {self.pid})"


def _boot() -> str:
    """Identify boot and pid namespace; empty where the system has no /proc."""
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{(PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return ""


def _stat(pid: int) -> tuple[str, str]:
    """Read state and start time of a process; empty where they cannot be read."""
    try:
        stat = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return "", ""
    # The command name stands in parentheses and may hold spaces; state is field 3, start time field 22.
    fields = stat.rpartition(")")[2].split()
    return fields[0], fields[19]


def _has_no_process(pid: int) -> bool:
    """Ask the kernel, which also answers where /proc hides the processes of other users."""
    if os.name != "posix":
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
