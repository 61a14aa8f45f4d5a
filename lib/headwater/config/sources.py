"""Where records come from: connections (servers) and sources (what is read from them)."""

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator

from headwater.config.base import Name, SecretRef, Spec
from headwater.config.gates import Gates


class JdbcConnection(Spec):
    """A PostgreSQL server reached by JDBC for rows and by its own protocol for the snapshot."""

    kind: Literal["jdbc"]
    url: str = Field(pattern=r"^jdbc:postgresql://", description="jdbc:postgresql://host:port/database")
    user: str
    password: SecretRef


class MongoConnection(Spec):
    """A MongoDB deployment; its URI may hold credentials and is therefore a secret."""

    kind: Literal["mongo"]
    uri: SecretRef


class S3Connection(Spec):
    """A bucket on S3 or a compatible store; without keys the machine's own role is used."""

    kind: Literal["s3"]
    bucket: str
    endpoint: str | None = Field(default=None, description="Only for stores that are not AWS.")
    region: str = "us-east-1"
    access_key: SecretRef | None = None
    secret_key: SecretRef | None = None

    @field_validator("endpoint")
    @classmethod
    def _empty_is_none(cls, value: str | None) -> str | None:
        return value or None


Connection = Annotated[JdbcConnection | MongoConnection | S3Connection, Field(discriminator="kind")]


class _Source(Spec):
    name: Name
    connection: Name
    gates: Gates = Gates()


class JdbcSource(_Source):
    """A table read in parallel slices of one snapshot."""

    kind: Literal["jdbc"]
    table: str = Field(pattern=r"^[A-Za-z_][\w$]*(\.[A-Za-z_][\w$]*)?$", description="table or schema.table")
    watermark: Name | None = Field(default=None, description="Column that grows with every write; none = full reload.")
    settle_seconds: int = Field(default=300, ge=0, description="How long a write may take to become visible.")
    slice_by: Name | None = Field(default=None, description="Integer column that splits the read into slices.")
    slices: int = Field(default=4, ge=1, le=64)
    fetch_size: int = Field(default=10_000, ge=1)


class MongoSource(_Source):
    """A collection read as whole documents."""

    kind: Literal["mongo"]
    database: str
    collection: str
    watermark: Name | None = None
    settle_seconds: int = Field(default=300, ge=0)


class FilesSource(_Source):
    """CSV objects under a prefix; an object's identity is key, ETag and size."""

    kind: Literal["files"]
    prefix: str = ""
    pattern: str = Field(description="Regular expression on the key; its named groups become text columns.")
    columns: tuple[Name, ...] = Field(description="The header that every object must have.")

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            message = f"not a regular expression: {error}"
            raise ValueError(message) from None
        return value

    @property
    def key_columns(self) -> tuple[str, ...]:
        """Columns that the object's key provides."""
        return tuple(re.compile(self.pattern).groupindex)


Source = Annotated[JdbcSource | MongoSource | FilesSource, Field(discriminator="kind")]


class SourceFile(Spec):
    """One file under `conf/sources/`; the file's name is the source's name."""

    source: Source
