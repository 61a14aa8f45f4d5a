"""A lake of the built-in project whose silver is written by a test: what the ledger has to say about it."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from pathlib import Path

from pyspark.sql import SparkSession

from headwater.boundary import open_runtime
from headwater.config.aggregates import Aggregate
from headwater.config.project import Project, load_project
from headwater.pipelines.audit import _suite_digest, plan_audit
from headwater.pipelines.steps import ConformBatch, PublishStage, Runtime, StageDates, to_payload
from headwater.tables.delta import version

CONF = Path(__file__).parents[1] / "conf"
SECRETS = ("CRM_PASSWORD", "APP_MONGO_URI", "DESK_S3_ACCESS_KEY", "DESK_S3_SECRET_KEY")


def project_at(lake: Path, *, initial_dates: int) -> Project:
    """The built-in project with its lake in a folder, tiles stored from the first byte on."""
    variables = dict.fromkeys(["CRM_USER", "DESK_S3_BUCKET", "DESK_S3_ENDPOINT", *SECRETS], "x")
    variables |= {"CRM_JDBC_URL": "jdbc:postgresql://127.0.0.1:1/x", "HEADWATER_LAKE": str(lake)}
    variables |= {"HEADWATER_TILES_FROM_MB": "0"}
    return replace(load_project(CONF, "local", variables), initial_dates=initial_dates)


def with_long_visits(project: Project) -> Project:
    """The project with one more feature, of a table that has others already; its tiles have a state more than any."""
    view, table = project.view, "user_behavior"
    (group,) = (each for each in view.groups if each.table == table)
    visits = Aggregate.model_validate(
        {
            "name": "long_visit_count_7d",
            "type": "bigint",
            "op": "count",
            "window_days": 7,
            "where": [{"column": "page_views", "at_least": 5}],
            "default": 0,
        }
    )
    more = group.model_copy(update={"features": (*group.features, visits)})
    groups = tuple(more if each.table == table else each for each in view.groups)
    return replace(project, view=view.model_copy(update={"groups": groups}))


def runtime_of(project: Project, day: date, spark: SparkSession) -> Runtime:
    """A run of a date."""
    return open_runtime(project, f"run-{day}", day, session=lambda: spark)


def say_conformed(runtime: Runtime, table: str, days: Iterable[date], *, rows: int = 1) -> None:
    """Put a silver batch into the ledger that touched some days, some rows of each, and is in silver by now."""
    stream = runtime.stream("silver", table)
    step = ConformBatch(table=table, run_date=runtime.run_date, batches=(), contract="", layout="", versions={})
    facts = {
        "touched": {day.isoformat(): rows for day in sorted(days)},
        "extracted": 0,
        "replayed": 0,
        "quarantined": 0,
    }
    facts["silver_version"] = version(runtime.project.path("silver", table))
    runtime.ledger.commit(runtime.ledger.begin(stream, to_payload(step)), facts)


def say_audited(runtime: Runtime) -> None:
    """Put into the ledger that the last stage batch has passed every check."""
    (planned,) = plan_audit(runtime).steps
    facts = {"passed": True, "suite": _suite_digest(runtime), "ranges": {}, "rows": 0, "withheld": 0, "score": 1.0}
    runtime.ledger.commit(runtime.ledger.begin(planned.stream, to_payload(planned.step)), facts)


def say_published(runtime: Runtime) -> None:
    """Put into the ledger that the last stage batch is published."""
    stage = runtime.ledger.stream(runtime.stream("stage", runtime.project.view.name)).commits[-1]
    step = StageDates.model_validate(stage.payload)
    done = PublishStage(
        view=step.view, run_date=step.run_date, stage_n=stage.n, staged_version=0, dates=step.dates,
        silver_batches=step.silver_batches, compact=(),
    )  # fmt: skip
    runtime.ledger.commit(runtime.ledger.begin(runtime.stream("publish", step.view), to_payload(done)), {})
