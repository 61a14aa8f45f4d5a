"""What the lake's storage must be able to do, and what it means when a write to it fails."""

import errno
import re
from urllib.parse import urlsplit

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from deltalake.exceptions import DeltaError
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException

from headwater.errors import ConfigError, StoreUnavailable

_NUMBERS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
_WORDS = re.compile(r"No space left on device|Disk quota exceeded|File too large|Read-only file system")


_S3 = ("s3", "s3a")
_PROBE = ".put-if-absent"
_REFUSED = 412


def require_put_if_absent(location: str) -> None:
    """Refuse an S3 store that lets a second writer overwrite what a first one has just put: no ledger is safe there.

    The probe is one empty object below the ops folder. Where it is already, a put that is refused is proof enough.

    Raises:
        ConfigError: the store took the object twice.
        StoreUnavailable: it did not answer, or did not let us in.
    """
    url = urlsplit(location)
    if url.scheme not in _S3:
        return
    store, key = boto3.client("s3"), f"{url.path.strip('/')}/{_PROBE}"
    for _ in range(2):
        try:
            store.put_object(Bucket=url.netloc, Key=key, Body=b"", IfNoneMatch="*")
        except ClientError as error:
            if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == _REFUSED:
                return
            raise _unavailable(f"{error} ({location})") from error
        except BotoCoreError as error:
            raise _unavailable(f"{error} ({location})") from error
    raise ConfigError(
        "store_without_put_if_absent",
        f"The store of {location} overwrites an object although it was told not to (If-None-Match: *).",
        remedy="Two jobs would commit the same version there. Use AWS S3, or a store with conditional writes.",
        facts={"location": location},
    )


def classify_store_error(error: BaseException) -> StoreUnavailable | None:
    """Say what an error means for the lake's storage; None when it is not to blame."""
    if isinstance(error, OSError) and error.errno in _NUMBERS:
        return _unavailable(error.strerror or str(error))
    if isinstance(error, BotoCoreError | ClientError):
        return _unavailable(str(error))
    if isinstance(error, DeltaError | Py4JError | PySparkException | OSError) and (found := _WORDS.search(str(error))):
        return _unavailable(found[0])
    return None


def _unavailable(reason: str) -> StoreUnavailable:
    return StoreUnavailable(
        "store_write_failed",
        f"A write to the lake, or to Spark's own scratch space, failed: {reason}.",
        remedy="See to the storage, then run again: what was begun is finished first, and nothing is there twice.",
        facts={"reason": reason},
    )
