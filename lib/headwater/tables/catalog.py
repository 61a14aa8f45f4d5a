"""Names for tables: a Delta table at a path, registered in the session's catalog (Hive, Glue or Unity).

The path stays the truth. A name only points to it, so registering is safe to repeat and is never part of a proof.
"""

from urllib.parse import unquote, urlsplit

from delta.tables import DeltaTable
from pyspark.errors import AnalysisException
from pyspark.sql import SparkSession

from headwater.errors import ConfigError


def register(spark: SparkSession, name: str, location: str) -> None:
    """Give the table at a location a name, unless it has it already.

    Args:
        spark: its catalog is the one that is written to.
        name: `schema.table` or `catalog.schema.table`.
        location: of an existing Delta table.

    Raises:
        ConfigError: there is no such schema, or the name points elsewhere.
    """
    quoted = ".".join(f"`{part.replace('`', '``')}`" for part in name.split("."))
    # As a whole URL: a catalog would look for a relative path below its own warehouse.
    here = _location(DeltaTable.forPath(spark, location))
    literal = here.replace("\\", "\\\\").replace("'", "\\'")
    try:
        spark.sql(f"CREATE TABLE IF NOT EXISTS {quoted} USING DELTA LOCATION '{literal}'")
        found = _location(DeltaTable.forName(spark, quoted))
    except AnalysisException as error:
        raise ConfigError(
            "catalog_refused",
            f"The catalog does not take {name}: {str(error).splitlines()[0]}",
            remedy="Create its schema, give the job the right to create tables there, or leave `catalog` out.",
            facts={"name": name, "location": location},
        ) from error
    if _path(found) != _path(here):
        raise ConfigError(
            "catalog_name_taken",
            f"In the catalog {name} is the table at {found}, not the one at {location}.",
            remedy="Choose another name, or drop that table from the catalog (its files stay).",
            facts={"name": name, "location": location, "found": found},
        )


def _location(table: DeltaTable) -> str:
    return str(table.detail().select("location").collect()[0][0])


def _path(location: str) -> tuple[str, str]:
    """Bucket and path: `s3` and `s3a` name the same store."""
    url = urlsplit(location)
    return url.netloc, unquote(url.path).rstrip("/")
