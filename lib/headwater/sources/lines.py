"""CSV as physical lines first, as fields second, so that every line is either parsed or kept word for word.

Spark's CSV reader is used twice: once with a separator that no text holds, only because it drops each object's header
and blank lines; then `from_csv` splits the lines. A line is unparsable when its field count differs from the header's
or its count of quotes is odd; fields never span lines.
"""

import csv
import difflib
from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from headwater.errors import DataRejected

CORRUPT = "_corrupt_record"
SOURCE_FILE = "_source_file"

# A noncharacter of Unicode, not meant for text, and the parser's own sign for the end of its input. Should a line
# hold it all the same, `_unsplit` has the whole line, which is then unparsable.
_NO_SEPARATOR = "\uffff"
_UNSPLIT = "_unsplit"
# The parser's own limit on columns is higher and ends the job instead of marking the line.
_MOST_COMMAS = 20_000


def read_lines(
    spark: SparkSession, paths: Sequence[str], columns: Sequence[str], options: Mapping[str, str]
) -> DataFrame:
    """Read every non-blank line after the header as (`line`, `path`), without its line end.

    Args:
        spark: the session.
        paths: objects to read, taken literally, wildcard characters included.
        columns: the header, which names the reader's only column so that it does not warn of a mismatch.
        options: settings of the file system.
    """
    header = ",".join(columns)
    frame = (
        spark.read.format("csv")
        .options(**options)
        .option("__globPaths__", "false")
        .option("header", "true")
        .option("sep", _NO_SEPARATOR)
        # The separator is looked for first, so this turns quotes off without giving up a character.
        .option("quote", _NO_SEPARATOR)
        .option("lineSep", "\n")
        .option("mode", "PERMISSIVE")
        .option("columnNameOfCorruptRecord", _UNSPLIT)
        .option("ignoreMissingFiles", "false")
        .option("ignoreCorruptFiles", "false")
        .schema(f"`{header}` string, {_UNSPLIT} string")
        .load(list(paths))
    )
    # A plus sign stays a plus sign in a path, but url_decode takes it for a space.
    path = F.url_decode(F.replace("_metadata.file_path", F.lit("+"), F.lit("%2B")))
    line = F.coalesce(_UNSPLIT, F.col(f"`{header}`"))
    return frame.select(F.regexp_replace(line, "\r$", "").alias("line"), path.alias("path"))


def split_fields(lines: DataFrame, columns: Sequence[str]) -> DataFrame:
    """Replace `line` by its fields as text and `_corrupt_record`; exactly one of the two sides is null."""
    schema = ", ".join(f"`{name}` string" for name in (*columns, CORRUPT))
    options = {"quote": '"', "escape": '"', "mode": "PERMISSIVE", "columnNameOfCorruptRecord": CORRUPT}
    splittable = (_count("line", ",") <= _MOST_COMMAS) & ~F.contains("line", F.lit(_NO_SEPARATOR))
    whole = (_count("line", '"') % 2 == 0) & splittable
    parsed = lines.withColumn("parsed", F.from_csv(F.when(whole, F.col("line")), schema, options))
    broken = F.col("parsed").isNull() | F.col(f"parsed.{CORRUPT}").isNotNull()
    fields = [F.when(~broken, F.col(f"parsed.`{name}`")).alias(name) for name in columns]
    others = [F.col(name) for name in lines.columns if name != "line"]
    return parsed.select(*fields, *others, F.when(broken, F.col("line")).alias(CORRUPT))


def check_header(key: str, first: str, columns: Sequence[str], source: str) -> None:
    """Compare an object's first line with the declared header.

    Raises:
        DataRejected: they differ; message and facts hold the difference.
    """
    found = next(csv.reader([first.removeprefix("\ufeff").rstrip("\r\n")]), [])
    if found == list(columns):
        return
    diff = [line for line in difflib.ndiff(list(columns), found) if line[0] in "+-"]
    raise DataRejected(
        "schema",
        f"Source {source}: the header of {key} is not the declared one: {', '.join(diff)}.",
        remedy=f"Replace the object, or change sources.{source}.columns and the contract (- declared, + found).",
        facts={"source": source, "key": key, "declared": list(columns), "found": found, "diff": diff},
    )


def _count(column: str, character: str) -> Column:
    """How often a character occurs."""
    return F.length(column) - F.length(F.replace(column, F.lit(character), F.lit("")))
