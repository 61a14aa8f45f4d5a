"""Planning silver: which bronze batches, and which waiting quarantine, each table takes up next.

What is planned pins the versions of every table that the batch reads, so that whoever executes it, and whoever repeats
it after a crash, sees the same rows (`pipelines.silver_batch`).
"""

from collections.abc import Iterable, Mapping

from headwater.config.tables import TableContract
from headwater.errors import ConfigError
from headwater.pipelines.gates import released_batches, volume_findings
from headwater.pipelines.layouts import require_silver
from headwater.pipelines.steps import BronzeBatch, ConformBatch, Plan, PlannedStep, Runtime, unfinished
from headwater.state.streams import StreamState
from headwater.tables.delta import version
from headwater.tables.quarantine import waiting_batches


def plan_conform(runtime: Runtime, tables: Iterable[str]) -> Plan:
    """Plan the next silver batch of each table: bronze batches not taken up yet, and quarantine that may pass now.

    Args:
        runtime: where to look.
        tables: names of tables that do not refer to each other.
    """
    steps, notes, failed = [], [], []
    for table in tables:
        stream = runtime.stream("silver", table)
        state = runtime.ledger.stream(stream)
        if state.open is not None:
            steps.append(unfinished(stream, state.open))
            continue
        try:
            step = _next_batch(runtime, runtime.project.tables[table], state)
        except ConfigError as error:
            failed.append(error)
            continue
        if step is None:
            notes.append(f"{table}: holds every bronze batch already")
        else:
            steps.append(PlannedStep(stream, step, decided_on=state.last_n))
    return Plan("conform into silver", tuple(steps), tuple(notes), tuple(failed))


def _next_batch(runtime: Runtime, contract: TableContract, state: StreamState) -> ConformBatch | None:
    require_silver(runtime, contract, state)
    # Committed batches, and before the versions are read: bronze then holds every record that the intent lists.
    batches, earlier = _new_batches(runtime, contract, state)
    versions_now = _versions(runtime, contract)
    gates = runtime.project.sources[contract.source].gates
    step = ConformBatch(
        table=contract.name,
        contract=contract.digest,
        layout=contract.layout,
        run_date=runtime.run_date,
        batches=batches,
        released=released_batches(runtime, contract, state),
        implausible=volume_findings(gates.volume, earlier, batches),
        null_ratio=gates.null_ratio,
        replay=_replayable(runtime, contract, state, versions_now),
        versions=versions_now,
    )
    return step if step.batches or step.replay or step.released else None


def _new_batches(
    runtime: Runtime, contract: TableContract, state: StreamState
) -> tuple[tuple[BronzeBatch, ...], list[int]]:
    """Bronze batches that silver has not met yet, and how many records those had that it has."""
    met = {each.id for commit in state.commits for each in ConformBatch.model_validate(commit.payload).batches}
    extracted = runtime.ledger.stream(runtime.stream("bronze", contract.source)).commits
    batches = [BronzeBatch(id=each.batch_id, records=int(str(each.facts["records"]))) for each in extracted]
    return tuple(each for each in batches if each.id not in met), [each.records for each in batches if each.id in met]


def _replayable(
    runtime: Runtime, contract: TableContract, state: StreamState, now: Mapping[str, int | None]
) -> tuple[str, ...]:
    """Bronze batches with records that wait for a dimension's key, if the dimension changed since they were judged."""
    rule = contract.reference
    if rule is None or not state.commits:
        return ()
    if ConformBatch.model_validate(state.commits[-1].payload).versions["dimension"] == now["dimension"]:
        return ()
    return waiting_batches(runtime.project.path("quarantine", contract.source), now["quarantine"], rule.reason)


def _versions(runtime: Runtime, contract: TableContract) -> dict[str, int | None]:
    project, rule = runtime.project, contract.reference
    return {
        "bronze": version(project.path("bronze", contract.source)),
        "quarantine": version(project.path("quarantine", contract.source)),
        "silver": version(project.path("silver", contract.name)),
        "dimension": version(project.path("silver", rule.table)) if rule else None,
    }
