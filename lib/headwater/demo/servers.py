"""How each embedded server is laid out on disk and started; what its guard is told."""

import os
import secrets
import signal
import stat
import sys
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from headwater.demo.guard import Guarded
from headwater.demo.ports import free_port
from headwater.errors import ConfigError

DATABASE = "crm"
DATABASE_USER = "headwater"
BUCKET = "support"

# Nothing in these databases is worth a disk flush: they are thrown away with the process that asked for them.
_POSTGRES_SETTINGS = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
port = {port}
fsync = off
synchronous_commit = off
full_page_writes = off
max_wal_size = 1GB
timezone = 'UTC'
log_timezone = 'UTC'
"""


@dataclass(frozen=True, slots=True)
class Postgres:
    """A PostgreSQL server about to start."""

    guarded: Guarded
    port: int
    password: str


def _own_folder(parent: Path, name: str) -> Path:
    return parent.resolve() / f"{name}-{secrets.token_hex(4)}"


def _open_to_all(folder: Path) -> bool:
    """Tells whether another account can enter the folder."""
    return all(step.stat().st_mode & stat.S_IXOTH for step in (folder, *folder.parents))


def _postgres_package() -> Path:
    spec = find_spec("pgserver")
    if spec is None or spec.origin is None:
        raise ConfigError(
            "stack_start_failed",
            "The PostgreSQL binaries (package pgserver) are not installed.",
            remedy="Run `make setup`.",
        )
    return Path(spec.origin).parent


def postgres(folder: Path) -> Postgres:
    """Lays out a PostgreSQL server that asks for a password.

    PostgreSQL refuses to run as root. Root therefore lends it the account `nobody`, and a place and a copy of the
    binaries that `nobody` can reach: a home folder, where the binaries are likely to be, is closed to others.
    """
    as_root = os.geteuid() == 0
    package = _postgres_package()
    copies: tuple[tuple[str, str], ...] = ()
    own = _own_folder(folder, "postgres")
    if as_root:
        temporary = Path(tempfile.gettempdir()).resolve()
        own = _own_folder(temporary if _open_to_all(temporary) else Path("/tmp"), "headwater-postgres")  # noqa: S108 -- the one place all can enter
        # initdb finds its libpq beside the package, by a relative path.
        copies = (
            (str(package / "pginstall"), "site/pgserver/pginstall"),
            (str(package.parent / "pgserver.libs"), "site/pgserver.libs"),
        )
        package = own / "site" / "pgserver"
    port, password = free_port(), secrets.token_hex(8)
    binaries, cluster = package / "pginstall" / "bin", str(own / "cluster")
    initdb = (
        *(str(binaries / "initdb"), "-D", cluster, "-U", DATABASE_USER, "--pwfile", str(own / "password")),
        *("--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync", "--no-instructions"),
    )
    guarded = Guarded(
        folder=str(own),
        steps=(initdb, (str(binaries / "postgres"), "-D", cluster, "-c", f"config_file={own / 'postgresql.conf'}")),
        log=str(folder.resolve() / "postgres.log"),
        copies=copies,
        texts=(("password", password), ("postgresql.conf", _POSTGRES_SETTINGS.format(port=port))),
        user="nobody" if as_root else "",
        stop=signal.SIGQUIT,
    )
    return Postgres(guarded=guarded, port=port, password=password)


def mongo(folder: Path) -> Guarded:
    """Lays out the Mongo wire server; its jars never meet Spark's."""
    classpath = os.environ.get("HEADWATER_DEMO_CLASSPATH")
    if not classpath:
        raise ConfigError(
            "stack_start_failed",
            "HEADWATER_DEMO_CLASSPATH is not set, so the jars of the Mongo server cannot be found.",
            remedy='Run `make demo` or `make test`, or first `make setup` and `eval "$(scripts/setup.py --env)"`.',
        )
    # The server runs in a folder of its own, where a relative path would lead nowhere.
    jars = (str(Path(jar).resolve()) for jar in classpath.replace(",", os.pathsep).split(os.pathsep))
    return _python_server("mongo", folder, os.pathsep.join(jars))


def s3(folder: Path) -> Guarded:
    """Lays out the S3 server, its bucket included."""
    return _python_server("s3", folder, BUCKET)


def _python_server(name: str, folder: Path, argument: str) -> Guarded:
    own = _own_folder(folder, name)
    return Guarded(
        folder=str(own),
        steps=((sys.executable, "-P", "-m", f"headwater.demo.{name}_server", str(own), argument),),
        log=str(folder.resolve() / f"{name}.log"),
    )
