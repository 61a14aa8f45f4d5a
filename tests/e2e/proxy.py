"""A TCP proxy before a real server: it can cut every connection in the middle of an answer, and refuse new ones."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_CHUNK = 16_384


class Proxy:
    """Passes bytes both ways until it has passed so many of the server's."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self._left: int | None = None
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def cut_after(self, count: int) -> None:
        """Let so many bytes of answers pass; then the server is gone."""
        self._left = count

    def heal(self) -> None:
        self._left = None

    @property
    def is_cut(self) -> bool:
        return self._left is not None and self._left <= 0

    def close(self) -> None:
        self._listener.close()
        self._cut()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self.is_cut:
                    client.close()
                    continue
                upstream = socket.create_connection(self._server)
                with self._lock:
                    self._open += [client, upstream]
                for source, target, counts in ((client, upstream, False), (upstream, client, True)):
                    threading.Thread(target=self._pass, args=(source, target, counts), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, counts: bool) -> None:  # noqa: FBT001
        with suppress(OSError):
            while data := source.recv(_CHUNK):
                if counts and self._left is not None:
                    self._left -= len(data)
                    if self.is_cut:
                        break
                target.sendall(data)
        if self.is_cut:
            self._cut()
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _cut(self) -> None:
        with self._lock:
            gone, self._open = self._open, []
        for each in gone:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@contextmanager
def proxy(host: str, port: int) -> Iterator[Proxy]:
    """A proxy for as long as the body runs."""
    between = Proxy(host, port)
    try:
        yield between
    finally:
        between.close()
