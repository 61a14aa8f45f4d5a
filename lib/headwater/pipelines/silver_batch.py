"""One silver batch: bronze records and waiting quarantine into silver, every record accounted for.

    new bronze + waiting quarantine ──conform──> accepted ──winners──> effects ──> silver (MERGE)
                                             └─> rejected, and the outcome of replays ──> quarantine

The row equation is counted on the two persisted frames before anything is written. What a retry sees is pinned by the
intent, so it classifies every row as the first attempt did.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from headwater.config.base import JsonValue
from headwater.config.tables import TableContract
from headwater.contracts.schema import VALID_FROM, VALID_TO
from headwater.pipelines.equation import (
    Effects,
    Judged,
    Tally,
    count_effects,
    count_judged,
    images_by_day,
    require_sum,
    tally,
    terms,
    without,
)
from headwater.pipelines.gates import findings_facts, record_findings
from headwater.pipelines.pinned import FORMS, Pinned, pinned
from headwater.pipelines.steps import ConformBatch, Finding, Runtime, require_same
from headwater.tables.delta import Batch, Written, append_once
from headwater.tables.merge import Upsert, merge_once
from headwater.telemetry.logs import EventName
from headwater.transforms.conform import BATCH_ID, EXTRACTED_AT, REASONS, ROW_ID, conform
from headwater.transforms.dedup import BUCKET, EFFECT, classify, winners
from headwater.transforms.history import KNOWN, OWN, versions
from headwater.transforms.quarantine import (
    CONTENT,
    RECORD_ID,
    met_before,
    quarantine_rows,
    unseen,
    waiting,
    with_content,
)

_CARRIED = (BATCH_ID, EXTRACTED_AT, ROW_ID, RECORD_ID, CONTENT)
# A dimension's first version answers for all time before it; as a touched day that is the first day there is.
_BEGINNING = "0001-01-01"


def conform_batch(step: ConformBatch, batch: Batch, runtime: Runtime) -> dict[str, JsonValue]:
    """Classify the batch's records, prove that they add up, and write them.

    Returns:
        The terms of the row equation, records per reason, and the days whose features may change.

    Raises:
        Unproven: the row equation does not hold, or a write left no commit.
    """
    contract = runtime.project.tables[step.table]
    require_same(f"the contract of {step.table}", step.contract, contract.digest, batch.id)
    seen = pinned(step, contract, runtime)
    with _persisted(_judge(step, contract, seen, runtime)) as judged:
        lines = tally(judged)
        findings = _findings(step, contract, lines, lambda: tally(met_before(judged, seen.quarantine, contract.source)))
        _report(step, contract, findings, runtime)
        held = [each for each, finding in findings.items() if finding.holds]
        let_in = judged.where(~F.col(BATCH_ID).isin(held) | F.col(RECORD_ID).isNotNull()) if held else judged
        counted = count_judged(lines, held=held, released=[each.id for each in step.released])
        found: dict[str, JsonValue] = {"findings": findings_facts(findings)} if findings else {}
        return {**_effect(step, batch, seen, let_in, counted, runtime), "reasons": dict(counted.reasons), **found}


def _effect(
    step: ConformBatch, batch: Batch, seen: Pinned, judged: DataFrame, counted: Judged, runtime: Runtime
) -> dict[str, JsonValue]:
    """Prove that the records add up, and write what they change."""
    contract = runtime.project.tables[step.table]
    freshness = runtime.project.sources[contract.source].gates.freshness
    won = winners(judged.where(F.size(REASONS) == 0), contract)
    with _persisted(classify(won, seen.silver, contract)) as effects:
        fresh_by = freshness.column if freshness else None
        effected = count_effects(effects, _event_times(runtime, step.table), fresh_by)
        committed = sum(each.records for each in step.batches)
        equation = terms(require_sum(contract.source, counted, effected, committed=committed))
        work = _Work(batch.with_facts(equation), contract, seen, judged, effects, counted, effected)
        newest: dict[str, JsonValue] = {"newest": {fresh_by: effected.newest}} if fresh_by else {}
        return {**equation, **_write(work, runtime), **newest}


@contextmanager
def _persisted(frame: DataFrame) -> Iterator[DataFrame]:
    frame.persist()
    try:
        yield frame
    finally:
        frame.unpersist()


@dataclass(frozen=True, slots=True)
class _Work:
    batch: Batch
    contract: TableContract
    seen: Pinned
    judged: DataFrame
    effects: DataFrame
    counted: Judged
    effected: Effects


def _judge(step: ConformBatch, contract: TableContract, seen: Pinned, runtime: Runtime) -> DataFrame:
    """Every record of the batch with its reasons; waiting records that still wait are not part of it."""
    form = FORMS[runtime.project.sources[contract.source].kind]
    records = seen.bronze.where(F.col(BATCH_ID).isin([each.id for each in (*step.batches, *step.released)]))
    records = records.withColumn(RECORD_ID, F.lit(None).cast("string"))
    rule = contract.reference
    if rule and step.replay:
        asked = F.broadcast(waiting(seen.quarantine, rule.reason))
        again = seen.bronze.where(F.col(BATCH_ID).isin(list(step.replay))).join(
            asked, on=[BATCH_ID, ROW_ID], how="inner"
        )
        records = records.unionByName(again)
    judged = conform(with_content(records), contract, form, seen.known, _CARRIED)
    if rule is None:
        return judged
    still_waiting = F.col(RECORD_ID).isNotNull() & (F.col(REASONS) == F.array(F.lit(rule.reason)))
    return judged.where(~still_waiting)


def _findings(
    step: ConformBatch, contract: TableContract, lines: Sequence[Tally], known: Callable[[], Sequence[Tally]]
) -> dict[str, Finding]:
    """What the gates find in the new batches; a batch that was released is not judged again.

    A record without a watermark comes with every window. On a quiet day such records, rejected long ago, can be most
    of a batch and say nothing about it; they are told apart only where a gate would close.
    """
    new = {each.id for each in step.batches}
    arrived = [line for line in lines if line.batch_id in new]
    findings = record_findings(step.null_ratio, arrived, contract)
    if findings:
        findings = record_findings(step.null_ratio, without(arrived, known()), contract)
    return {**findings, **step.implausible}


def _report(step: ConformBatch, contract: TableContract, findings: Mapping[str, Finding], runtime: Runtime) -> None:
    for batch_id, finding in findings.items():
        event: EventName = "schema_drift" if finding.gate == "schema" else "validation_failed"
        records = next(each.records for each in step.batches if each.id == batch_id)
        runtime.log.write(event, data_source=contract.source, record_count=records, **finding.model_dump(mode="json"))


def _event_times(runtime: Runtime, table: str) -> tuple[str, ...]:
    view = runtime.project.view
    enters = view.population.table == table and runtime.project.tables[table].kind == "fact"
    since = [view.population.since] if enters else []
    return tuple(dict.fromkeys([*since, *(group.event_time for group in view.groups if group.table == table)]))


def _write(work: _Work, runtime: Runtime) -> dict[str, JsonValue]:
    """Silver, then quarantine; each in one commit, each proved. Says what silver's change touches."""
    written = _write_silver(work, runtime) if work.effected.changes else {"touched": {}}
    runtime.failpoint(f"conform:{work.contract.source}:merged")
    _write_quarantine(work, runtime)
    return written


def _write_silver(work: _Work, runtime: Runtime) -> dict[str, JsonValue]:
    """Facts: the version of silver that holds the batch, and rows by the day whose features they may change."""
    changed = work.effects.where(F.col(EFFECT).isin("inserted", "updated"))
    if work.contract.kind == "fact":
        merged = _merge(changed, work, runtime)
        return {"silver_version": merged.version, "touched": dict(work.effected.touched)}
    with _persisted(versions(work.seen.silver, changed, work.contract)) as placed:
        merged = _merge(placed, work, runtime)
        touched = _touched_by_versions(placed, work.contract, runtime)
        return {"silver_version": merged.version, "touched": dict(touched)}


def _write_quarantine(work: _Work, runtime: Runtime) -> None:
    """What is rejected goes in, what was taken up again gets its outcome."""
    source, rule = work.contract.source, work.contract.reference
    location = runtime.project.path("quarantine", source)
    is_again = F.col(RECORD_ID).isNotNull()
    rejected = quarantine_rows(work.judged.where(~is_again & (F.size(REASONS) > 0)), source, "silver")
    rows = unseen(rejected, work.seen.quarantine)
    if rule and work.counted.replayed:
        again = quarantine_rows(work.judged.where(is_again), source, "silver", waited_for=rule.reason)
        merge_once(rows.unionByName(again), location, Upsert(key=["id"], columns=["status", "reasons"]), work.batch)
    elif work.counted.quarantined:
        append_once(rows, location, work.batch)


def _merge(rows: DataFrame, work: _Work, runtime: Runtime) -> Written:
    contract = work.contract
    buckets = [str(bucket) for bucket in work.effected.buckets]
    upsert = Upsert(key=contract.row_key, within={BUCKET: buckets})
    location = runtime.project.path("silver", contract.name)
    validity = (VALID_FROM, VALID_TO) if contract.kind == "history" else ()
    columns = (*contract.names, BUCKET, F.lit(work.batch.id).alias(BATCH_ID), *validity)
    return merge_once(rows.select(*columns), location, upsert, work.batch)


def _touched_by_versions(placed: DataFrame, contract: TableContract, runtime: Runtime) -> dict[str, int]:
    """First days that the batch's versions answer for; a neighbour they shorten changes on the same days.

    The first version of a key answers for all time before it. Of a key that is new that begins with the day it enters
    the population, for before that it has no row.
    """
    population = runtime.project.view.population
    beginning = F.lit(_BEGINNING).cast("date")
    if contract.name == population.table:
        beginning = F.when(F.col(KNOWN), beginning).otherwise(F.to_date(f"`{population.since}`"))
    since = F.coalesce(F.to_date(VALID_FROM), beginning)
    return images_by_day(placed.where(OWN).select(since.alias("since")), "since")
