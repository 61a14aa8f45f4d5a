"""A process that works on a ledger by command: one JSON line in, one JSON line out.

{"do": "begin", "stream": "s", "at": "..."}  ->  {"n": 1, "run_id": "w0", "resumed": false}
                                             or  {"refused": "stream_held", "facts": {...}}
"""

import json
import sys
from datetime import datetime, timedelta

from headwater.errors import WriterConflict
from headwater.state.holder import Holder
from headwater.state.ledger import Ledger
from headwater.state.streams import Intent


def main(location: str, run_id: str) -> None:
    """Obey until standard input ends."""
    held: dict[str, Intent] = {}
    now: list[datetime] = []
    ledger = Ledger(location, clock=lambda: now[-1], holder=Holder.current(run_id), lease=timedelta(seconds=60))
    for line in sys.stdin:
        command = json.loads(line)
        now.append(datetime.fromisoformat(command["at"]))
        try:
            answer = obey(ledger, command["do"], command["stream"], held)
        except WriterConflict as conflict:
            answer = {"refused": conflict.code, "facts": conflict.facts}
        sys.stdout.write(json.dumps(answer, default=str) + "\n")
        sys.stdout.flush()


def obey(ledger: Ledger, verb: str, stream: str, held: dict[str, Intent]) -> dict[str, object]:
    """Do one thing to one stream."""
    match verb:
        case "begin":
            held[stream] = ledger.begin(stream, {"by": ledger.holder.run_id}, last_n=0)
        case "work":
            held[stream] = ledger.begin_or_resume(stream, lambda state: {"after": state.last_n})
        case "commit":
            ledger.commit(held[stream], {"by": ledger.holder.run_id})
        case _:
            raise ValueError(verb)
    intent = held[stream]
    return {"n": intent.n, "run_id": intent.run_id, "resumed": intent.resumed}


if __name__ == "__main__":
    main(*sys.argv[1:])
