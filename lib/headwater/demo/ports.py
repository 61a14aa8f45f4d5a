"""What the embedded servers share when they start: how a port is found, and how it is announced."""

import contextlib
import random
import socket
from pathlib import Path

_FIRST, _LAST = 15_000, 32_000


def free_port() -> int:
    """Gives a free loopback port below the range from which systems serve outgoing connections.

    A port from that range could be taken again between this look and the server's own bind.
    """
    while True:
        port = random.randrange(_FIRST, _LAST)  # noqa: S311 -- no secret
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def write_port(folder: Path, port: int) -> None:
    """Announces the port in one step, so that a reader never sees half a number."""
    staged = folder / "port.part"
    staged.write_text(str(port), encoding="utf-8")
    staged.rename(folder / "port")


def read_port(folder: Path) -> int | None:
    """Gives the announced port, or None as long as there is none."""
    announced = folder / "port"
    return int(announced.read_text(encoding="utf-8")) if announced.exists() else None
