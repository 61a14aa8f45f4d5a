"""The S3 server of the demo: moto on a loopback port of its own choice, with one bucket ready.

Run by a guard: ends when standard input closes.
"""

import sys
from pathlib import Path
from urllib.request import Request, urlopen

from moto.server import ThreadedMotoServer

from headwater.demo.ports import write_port


def serve(folder: Path, *, bucket: str) -> None:
    """Serves S3 from memory, makes the bucket, announces the port in `folder`, returns when standard input closes."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with urlopen(Request(f"http://{host}:{port}/{bucket}", method="PUT")):
        write_port(folder, port)
    sys.stdin.buffer.read()
    server.stop()


if __name__ == "__main__":
    serve(Path(sys.argv[1]), bucket=sys.argv[2])
