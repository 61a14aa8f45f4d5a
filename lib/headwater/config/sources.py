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
    user: str = Field(description="Who reads.")
    password: SecretRef = Field(description="Where the password is: `env:NAME` or `file:PATH`, never the password.")


class MongoConnection(Spec):
    """A MongoDB deployment; its URI may hold credentials and is therefore a secret."""

    kind: Literal["mongo"]
    uri: SecretRef = Field(description="Where the URI is: `env:NAME` or `file:PATH`, never the URI.")


class S3Connection(Spec):
    """A bucket on S3 or a compatible store; without keys the machine's own role is used."""

    kind: Literal["s3"]
    bucket: str = Field(description="Name of the bucket.")
    endpoint: str | None = Field(default=None, description="Only for stores that are not AWS.")
    region: str = Field(default="us-east-1", description="Region of the bucket.")
    access_key: SecretRef | None = Field(
        default=None, description="`env:NAME` or `file:PATH`; none = the machine's role."
    )
    secret_key: SecretRef | None = Field(
        default=None, description="`env:NAME` or `file:PATH`; none = the machine's role."
    )

    @field_validator("endpoint")
    @classmethod
    def _empty_is_none(cls, value: str | None) -> str | None:
        return value or None


Connection = Annotated[JdbcConnection | MongoConnection | S3Connection, Field(discriminator="kind")]


class _Source(Spec):
    name: Name = Field(description="Name of the source; the file has the same.")
    connection: Name = Field(description="A connection of the environment, of the kind that the source needs.")
    gates: Gates = Field(default=Gates(), description="What must hold for its batches.")


class JdbcSource(_Source):
    """A table read in parallel slices of one snapshot."""

    kind: Literal["jdbc"]
    table: str = Field(pattern=r"^[A-Za-z_][\w$]*(\.[A-Za-z_][\w$]*)?$", description="table or schema.table")
    watermark: Name | None = Field(default=None, description="Column that grows with every write; none = full reload.")
    settle_seconds: int = Field(default=300, ge=0, description="How long a write may take to become visible.")
    slice_by: Name | None = Field(default=None, description="Integer column that splits the read into slices.")
    slices: int = Field(default=4, ge=1, le=64, description="How many slices `slice_by` makes.")
    fetch_size: int = Field(default=10_000, ge=1, description="Rows that the driver fetches at once.")


class MongoSource(_Source):
    """A collection read as whole documents."""

    kind: Literal["mongo"]
    database: str = Field(description="Database of the collection.")
    collection: str = Field(description="Collection that is read.")
    watermark: Name | None = Field(default=None, description="Date that grows with every write; none = full reload.")
    settle_seconds: int = Field(default=300, ge=0, description="How long a write may take to become visible.")


class FilesSource(_Source):
    """CSV objects under a prefix; an object's identity is key, ETag and size."""

    kind: Literal["files"]
    prefix: str = Field(default="", description="Beginning of the keys that are listed.")
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

    source: Source = Field(description="The source; its `kind` says which.")
