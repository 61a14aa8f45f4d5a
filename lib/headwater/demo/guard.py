"""Runs one embedded server and ends it, with its files, as soon as the process that wanted it is gone.

The guard is a small process between the two: its standard input is a pipe that only the wanting process holds open,
so the kernel closes it on every kind of end, `kill -9` included. Started by path, not as a package module: it imports
the standard library only and is up in a few milliseconds.
"""

import contextlib
import json
import os
import pwd
import select
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

_GRACE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Guarded:
    """What one guard looks after.

    Attributes:
        folder: made by the guard, removed by the guard.
        copies: folders to copy in first, as pairs (from, path inside `folder`).
        texts: files to write first, as pairs (path inside `folder`, content).
        steps: command lines; all but the last must end with 0, the last is the server.
        log: file that takes the output of every step.
        user: account the steps run under; empty keeps the present one.
        stop: signal that asks the server to end.
    """

    folder: str
    steps: tuple[tuple[str, ...], ...]
    log: str
    copies: tuple[tuple[str, str], ...] = ()
    texts: tuple[tuple[str, str], ...] = ()
    user: str = ""
    stop: int = signal.SIGTERM


def launch(guarded: Guarded) -> subprocess.Popen[bytes]:
    """Starts a guard that lives until its standard input closes.

    A session of its own keeps the terminal's Ctrl-C away from it: it must outlive its parent to clean up.
    What it guards goes through the pipe, not the command line, which every user of the machine could read.
    """
    here = Path(__file__).resolve()
    guard = subprocess.Popen(  # noqa: S603 -- our own interpreter and file
        [sys.executable, "-I", "-S", str(here)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(here.parents[2])},
    )
    if guard.stdin is not None:
        guard.stdin.write(json.dumps(asdict(guarded)).encode() + b"\n")
        guard.stdin.flush()
    return guard


def dismiss(guards: Sequence[subprocess.Popen[bytes]]) -> None:
    """Closes every pipe first, then waits, so that the servers stop side by side."""
    for guard in guards:
        if guard.stdin is not None:
            guard.stdin.close()
    for guard in guards:
        try:
            guard.wait(timeout=3 * _GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            guard.kill()
            guard.wait()


def _stop_group(server: subprocess.Popen[bytes], how: int) -> None:
    """Ends the server and whatever it started: politely, then for certain."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, how)
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.wait(timeout=_GRACE_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()


def _wanted_until_end(server: subprocess.Popen[bytes], dismissed: int) -> bool:
    """Waits for the server's end (True) or for the wish to stop it (False)."""
    ended, tell = os.pipe()

    def watch() -> None:
        server.wait()
        os.write(tell, b".")

    threading.Thread(target=watch, daemon=True).start()
    ready, _, _ = select.select([sys.stdin.fileno(), dismissed, ended], [], [])
    return ready == [ended]


def _account(user: str) -> tuple[int, int]:
    entry = pwd.getpwnam(user)
    return entry.pw_uid, entry.pw_gid


def _run_steps(guarded: Guarded, dismissed: int) -> int:
    """Runs the steps in order until one fails, the last ends, or nobody wants them any more."""
    uid, gid = _account(guarded.user) if guarded.user else (None, None)
    with Path(guarded.log).open("ab") as log:
        for step in guarded.steps:
            server = subprocess.Popen(  # noqa: S603 -- command lines of servers.py
                step,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=guarded.folder,
                start_new_session=True,
                user=uid,
                group=gid,
                extra_groups=None if gid is None else [],
            )
            wanted = _wanted_until_end(server, dismissed)
            _stop_group(server, guarded.stop)
            if not wanted:
                return 0
            if server.returncode != 0:
                return 1
    return 1


def serve(guarded: Guarded) -> int:
    """Makes the folder, runs the steps, removes the folder; 0 when it was told to stop, 1 when a step ended."""
    dismissed, dismiss_now = os.pipe()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        os.write(dismiss_now, b".")

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, on_signal)
    folder = Path(guarded.folder)
    try:
        folder.mkdir(parents=True, mode=0o755)
        for source, inside in guarded.copies:
            shutil.copytree(source, folder / inside, symlinks=True, ignore=shutil.ignore_patterns("include", "*.a"))
        for inside, content in guarded.texts:
            (folder / inside).write_text(content, encoding="utf-8")
        if guarded.user:
            for path in (folder, *folder.rglob("*")):
                os.chown(path, *_account(guarded.user), follow_symlinks=False)
        return _run_steps(guarded, dismissed)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(serve(Guarded(**json.loads(sys.stdin.buffer.readline()))))
