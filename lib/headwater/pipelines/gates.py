"""Batch gates: what keeps a whole bronze batch out of silver, and who may let it in after all.

A held batch is a fact of the silver commit that met it; nothing of it was written. It waits until somebody decides:
released, the next batch takes it up as a replay, without asking the gates again; discarded, it is never taken up.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from headwater.config.base import JsonValue, Spec
from headwater.config.gates import NullRatioGate, VolumeGate
from headwater.config.tables import TableContract
from headwater.errors import ConfigError, DataRejected
from headwater.pipelines.equation import Tally
from headwater.pipelines.steps import BronzeBatch, ConformBatch, Finding, Runtime, to_payload
from headwater.state.streams import Commit, StreamState

# Fewer records say nothing about a schema: they are bad records.
_ENOUGH = 20
_UNPARSABLE = "unparsable"


class Decision(Spec):
    """What somebody decided about held batches of a source."""

    kind: Literal["decision"] = "decision"
    source: str
    outcome: Literal["release", "discard"]
    batches: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Hold:
    """A bronze batch that waits for a decision."""

    source: str
    batch: BronzeBatch
    finding: Finding

    def __str__(self) -> str:
        """Source, batch and what was found."""
        return f"{self.batch.id} ({self.batch.records:,} records), {self.finding.gate}: {self.finding.found}"


def waiting_holds(runtime: Runtime, contract: TableContract) -> tuple[Hold, ...]:
    """Held batches of a table's source about which nothing is decided."""
    decided = _decided(runtime, contract.source)
    return tuple(hold for hold in _holds(runtime, contract) if hold.batch.id not in decided)


def released_batches(runtime: Runtime, contract: TableContract, state: StreamState) -> tuple[BronzeBatch, ...]:
    """Held batches that were released and that silver has not taken up since."""
    decided = _decided(runtime, contract.source)
    taken = {each.id for commit in state.commits for each in ConformBatch.model_validate(commit.payload).released}
    holds = (hold.batch for hold in _holds(runtime, contract))
    return tuple(batch for batch in holds if decided.get(batch.id) == "release" and batch.id not in taken)


def decide(runtime: Runtime, source: str, outcome: Literal["release", "discard"], batches: Sequence[str]) -> Commit:
    """Write a decision about held batches down.

    A decision that was killed before it was done is finished first.

    Raises:
        ConfigError: there is no such source, or one of the batches does not wait.
        WriterConflict: somebody else is deciding.
    """
    stream = runtime.stream("decisions", source)
    if left := runtime.ledger.stream(stream).open:
        runtime.ledger.commit(runtime.ledger.resume(left), {})
    contract = next((each for each in runtime.project.tables.values() if each.source == source), None)
    waiting = [hold.batch.id for hold in waiting_holds(runtime, contract)] if contract else []
    if unknown := [each for each in batches if each not in waiting]:
        raise ConfigError(
            "not_held",
            f"No batch {', '.join(unknown)} of source {source!r} waits for a decision.",
            remedy=f"Waiting: {', '.join(waiting) or 'none'}.",
            facts={"source": source, "value": unknown, "waiting": waiting},
        )
    decision = Decision(source=source, outcome=outcome, batches=tuple(batches))
    intent = runtime.ledger.begin(stream, to_payload(decision), table_version=0)
    return runtime.ledger.commit(intent, {})


def require_nothing_held(runtime: Runtime, tables: Collection[str]) -> None:
    """Refuse to go on with batches in hold that have to stop the pipeline.

    Raises:
        DataRejected: a gate whose action is `halt_pipeline` holds a batch, or any gate does in a strict run.
    """
    holds = [hold for table in sorted(tables) for hold in waiting_holds(runtime, runtime.project.tables[table])]
    stopping = [hold for hold in holds if runtime.strict or _halts(runtime, hold)]
    if stopping:
        raise DataRejected(
            stopping[0].finding.gate if len({hold.finding.gate for hold in stopping}) == 1 else "batches_held",
            "Batches are held and stop the pipeline:\n  " + "\n  ".join(map(str, stopping)),
            remedy="Nothing downstream ran. Look at the batch; then `headwater quarantine release` or `discard` it.",
            facts={"batches": [hold.batch.id for hold in stopping], "sources": sorted({h.source for h in stopping})},
        )


def volume_findings(
    gate: VolumeGate | None, earlier: Sequence[int], batches: Sequence[BronzeBatch]
) -> dict[str, Finding]:
    """What the volume gate finds in new batches.

    Args:
        gate: None finds nothing.
        earlier: records of the batches before them, oldest first; the very first is a full load and never compared.
        batches: the new ones.
    """
    if gate is None:
        return {}
    found = {}
    for place, batch in enumerate(batches):
        before = [*earlier, *(each.records for each in batches[:place])]
        if reason := _implausible(gate, before, batch.records):
            found[batch.id] = Finding(gate="volume", found=reason, holds=gate.action != "report")
    return found


def record_findings(gate: NullRatioGate, lines: Sequence[Tally], contract: TableContract) -> dict[str, Finding]:
    """What the schema and the null_ratio gate find in new bronze batches, by their tally."""
    found = {}
    for batch_id in sorted({line.batch_id for line in lines if not line.waited}):
        of_batch = [line for line in lines if line.batch_id == batch_id and not line.waited]
        if reason := _unreadable(of_batch, contract):
            found[batch_id] = Finding(gate="schema", found=reason, holds=True)
        elif reason := _too_many_nulls(gate, of_batch, contract):
            found[batch_id] = Finding(gate="null_ratio", found=reason, holds=gate.action != "report")
    return found


def findings_facts(findings: Mapping[str, Finding]) -> dict[str, JsonValue]:
    """Findings as a commit keeps them."""
    return {batch: finding.model_dump(mode="json") for batch, finding in findings.items()}


def _holds(runtime: Runtime, contract: TableContract) -> list[Hold]:
    holds = []
    for commit in runtime.ledger.stream(runtime.stream("silver", contract.name)).commits:
        found = commit.facts.get("findings")
        batches = {each.id: each for each in ConformBatch.model_validate(commit.payload).batches}
        for batch_id, body in found.items() if isinstance(found, Mapping) else ():
            finding = Finding.model_validate(body)
            if finding.holds:
                holds.append(Hold(contract.source, batches[batch_id], finding))
    return holds


def _decided(runtime: Runtime, source: str) -> dict[str, str]:
    commits = runtime.ledger.stream(runtime.stream("decisions", source)).commits
    decisions = [Decision.model_validate(commit.payload) for commit in commits]
    return {batch: decision.outcome for decision in decisions for batch in decision.batches}


def _halts(runtime: Runtime, hold: Hold) -> bool:
    gates = runtime.project.sources[hold.source].gates
    match hold.finding.gate:
        case "schema":
            return True
        case "null_ratio":
            return gates.null_ratio.action == "halt_pipeline"
        case "volume":
            return gates.volume is not None and gates.volume.action == "halt_pipeline"


def _implausible(gate: VolumeGate, earlier: Sequence[int], records: int) -> str:
    if gate.min is not None and records < gate.min:
        return f"{records:,} records, at least {gate.min:,} expected"
    if gate.max is not None and records > gate.max:
        return f"{records:,} records, at most {gate.max:,} expected"
    compared = earlier[1:][-gate.history.batches :] if gate.history else []
    if gate.history is None or len(compared) < gate.history.at_least:
        return ""
    usual, factor = median(compared), gate.history.factor
    if usual / factor <= records <= usual * factor:
        return ""
    return f"{records:,} records, {usual / factor:,.0f} to {usual * factor:,.0f} expected after {len(compared)} batches"


def _unreadable(lines: Sequence[Tally], contract: TableContract) -> str:
    """Columns that no record has, or that none has in a readable form: the source has another schema now."""
    parsed = sum(line.records for line in lines if _UNPARSABLE not in line.reasons)
    if parsed < _ENOUGH:
        return ""
    gone, unlike = [], []
    for column in contract.columns:
        missing = _lacking(lines, column.name)
        if missing == parsed:
            gone.append(f"- {column.name} {column.type} (in no record)")
        elif _count(lines, f"type:{column.name}") == parsed - missing:
            unlike.append(f"- {column.name} {column.type} (readable in no record)")
    return ", ".join([*gone, *unlike])


def _too_many_nulls(gate: NullRatioGate, lines: Sequence[Tally], contract: TableContract) -> str:
    records = sum(line.records for line in lines)
    for column in (each for each in contract.columns if not each.nullable):
        missing = _lacking(lines, column.name)
        if missing > gate.max * records:
            return f"{missing:,} of {records:,} records lack {column.name}, at most {gate.max:.2%} may"
    return ""


def _lacking(lines: Sequence[Tally], column: str) -> int:
    return sum(line.records for line in lines if column in line.nulls)


def _count(lines: Sequence[Tally], reason: str) -> int:
    return sum(line.records for line in lines if reason in line.reasons)
