"""Extraction: one batch per source and run date, in bronze once or not at all."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from headwater.config.base import JsonValue, nearest
from headwater.contracts.drift import Drift, drift
from headwater.errors import ConfigError, DataRejected, HeadwaterError, Unproven
from headwater.pipelines.steps import ExtractBatch, Plan, PlannedStep, Runtime, unfinished
from headwater.sources.base import Extent, Extraction, FileList, extent_from_json, extent_to_json
from headwater.sources.failures import classify_spark_error
from headwater.state.streams import StreamState
from headwater.tables.delta import Batch, TableSpec, Written, append_once, ensure_table, find
from headwater.transforms.conform import BATCH_ID, BRONZE_COLUMNS, EXTRACTED_AT, ROW_ID, SOURCE_FILE


def plan_extract(runtime: Runtime, sources: Iterable[str]) -> Plan:
    """Plan the extraction of the run date for some sources.

    A source whose batch for the date (or a later one) is done has nothing to do: a rerun reads nothing. One that does
    not tell its time, or refuses to be asked, keeps no other from being read.

    Raises:
        ConfigError: a source is unknown.
    """
    steps, notes, failed = [], [], []
    for name in sources:
        if name not in runtime.project.sources:
            known = sorted(runtime.project.sources)
            raise ConfigError(
                "unknown_source",
                f"Unknown source {name!r}.{nearest(name, known)}",
                remedy=f"Sources in {runtime.project.conf / 'sources'}: {', '.join(known)}.",
                facts={"value": name, "known": known},
            )
        stream = runtime.stream("bronze", name)
        state = runtime.ledger.stream(stream)
        if state.open is not None:
            steps.append(unfinished(stream, state.open))
        elif any(str(commit.payload["run_date"]) >= runtime.run_date.isoformat() for commit in state.commits):
            notes.append(f"{name}: extracted for {runtime.run_date} already")
        else:
            try:
                steps.append(PlannedStep(stream, _next_batch(runtime, name, state), decided_on=state.last_n))
            except HeadwaterError as error:
                failed.append(error)
    return Plan(f"extract into bronze for {runtime.run_date}", tuple(steps), tuple(notes), tuple(failed))


def extract(step: ExtractBatch, batch: Batch, runtime: Runtime) -> dict[str, JsonValue]:
    """Read the extent and append it; a batch that bronze holds already is only reported.

    Returns:
        `records`, `counted` (the source's own count, where it has one), `extent` (what was really read).

    Raises:
        Unproven: bronze holds another number of records than the source counted in the same snapshot.
    """
    location = runtime.project.path("bronze", step.source)
    if step.extent is None:
        return {"records": 0, "counted": 0, "extent": None}
    written = find(location, batch) or _read_and_append(step, batch, runtime, location)
    counted = written.facts["counted"]
    if counted is not None and counted != written.rows:
        raise Unproven(
            "count_mismatch",
            f"{step.source} counted {counted} records in its snapshot, bronze received {written.rows}.",
            remedy="The batch stays open. Report this with the ledger's intent of the stream.",
            facts={"source": step.source, "counted": counted, "received": written.rows},
        )
    return {"records": written.rows, **{name: value for name, value in written.facts.items() if name != "batch"}}


def _next_batch(runtime: Runtime, name: str, state: StreamState) -> ExtractBatch:
    read = [commit.facts["extent"] for commit in state.commits]
    previous = [extent_from_json(extent) for extent in read if isinstance(extent, str)]
    extent = runtime.source(name).extent(previous)
    instant = runtime.clock() if extent is None else _instant(runtime, name, extent)
    return ExtractBatch(
        source=name,
        run_date=runtime.run_date,
        extracted_at=instant,
        extent=None if extent is None else extent_to_json(extent),
    )


def _instant(runtime: Runtime, name: str, extent: Extent) -> datetime:
    """The source's clock when the extent was decided: a window ends a settle delay before it."""
    if isinstance(extent, FileList):
        return extent.instant
    settle = timedelta(seconds=getattr(runtime.project.sources[name], "settle_seconds", 0))
    return extent.hi + settle


def _read_and_append(step: ExtractBatch, batch: Batch, runtime: Runtime, location: str) -> Written:
    spark = runtime.session()
    extent = extent_from_json(step.extent or "")
    try:
        with runtime.source(step.source).read(spark, extent) as extraction:
            runtime.failpoint(f"extract:{step.source}:opened")
            frame = _bronze_rows(extraction, step, batch)
            _require_contract(step.source, extraction.frame, runtime)
            ensure_table(spark, TableSpec(location, frame.schema))
            _require_bronze(step.source, frame, location, runtime)
            read = {"counted": extraction.counted, "extent": extent_to_json(extraction.extent)}
            facts: dict[str, JsonValue] = {**read, **extraction.facts}
            return append_once(frame, location, batch.with_facts(facts))
    except (Py4JError, PySparkException) as error:
        known = classify_spark_error(error, step.source)
        if known is None:
            raise
        raise known from error


def _require_contract(source: str, frame: DataFrame, runtime: Runtime) -> None:
    """The schema gate for sources that type their columns; others show their schema in the records (see `gates`).

    Raises:
        DataRejected: the source no longer shows what the contract reads.
    """
    contract = next((each for each in runtime.project.tables.values() if each.source == source), None)
    if contract is None or runtime.project.sources[source].kind != "jdbc":
        return
    declared = {column.name: column.type for column in contract.columns}
    if broken := [each for each in drift(declared, dict(frame.dtypes)) if each.kind != "added"]:
        raise _rejected(source, f"does not show what the contract {contract.name} reads", broken, runtime)


def _require_bronze(source: str, frame: DataFrame, location: str, runtime: Runtime) -> None:
    """Refuse another type than bronze holds; tell of columns that it did not hold before.

    Raises:
        DataRejected: bronze keeps values as the source types them, and cannot keep both.
    """
    held = dict(frame.sparkSession.read.format("delta").load(location).dtypes)
    shown = dict(frame.dtypes)
    changed = [
        Drift("incompatible", name, held[name], shown[name])
        for name in shown
        if shown[name] != held.get(name, shown[name])
    ]
    if changed:
        raise _rejected(source, "types columns differently than bronze holds them", changed, runtime)
    if added := [name for name in shown if name not in held]:
        runtime.log.write("schema_drift", data_source=source, added=list(added))


def _rejected(source: str, what: str, drifts: Sequence[Drift], runtime: Runtime) -> DataRejected:
    diff = [str(each) for each in drifts]
    runtime.log.write("schema_drift", data_source=source, diff=list(diff))
    return DataRejected(
        "schema",
        f"Source {source} {what}: {'; '.join(diff)}.",
        remedy="Nothing of it was read (- expected, + found). Correct the source, or change the contract to what it "
        "shows now; bronze of other types stays as it is under a source's old name.",
        facts={"source": source, "diff": diff},
    )


def _bronze_rows(extraction: Extraction, step: ExtractBatch, batch: Batch) -> DataFrame:
    """The source's columns behind the five that say where a record came from."""
    frame = extraction.frame
    source_file = F.col(SOURCE_FILE) if SOURCE_FILE in frame.columns else F.lit(None).cast("string")
    origin = {
        BATCH_ID: F.lit(batch.id),
        "_source": F.lit(step.source),
        EXTRACTED_AT: F.lit(step.extracted_at.astimezone(UTC).replace(tzinfo=None).isoformat()).cast("timestamp"),
        SOURCE_FILE: source_file,
        ROW_ID: F.concat_ws("-", F.lit(batch.id), F.monotonically_increasing_id()),
    }
    own = [F.col(f"`{name}`") for name in frame.columns if name not in BRONZE_COLUMNS]
    return frame.select(*(column.alias(name) for name, column in origin.items()), *own)
