"""Files and bytes of a schema, counted against the limits before they are read."""

from __future__ import annotations

import errno
import os
import stat

from wirelane.core.deadline import Deadline
from wirelane.core.limits import Limits
from wirelane.errors import LimitExceeded, SchemaError

__all__ = ["Budget"]


class Budget:
    """Counts files and bytes against the limits, before anything is read whole."""

    def __init__(self, limits: Limits, deadline: Deadline) -> None:
        self.limits = limits
        self.deadline = deadline
        self._files = 0
        self._bytes = 0

    def tick(self) -> None:
        """Raise SchemaError if time is up; for loops over what may be huge."""
        if self.deadline.expired():
            raise SchemaError(
                "finding the files of the schema took too long; is the directory meant to be this large?"
            )

    def add_file(self) -> None:
        """Count one more file."""
        self.tick()
        self._files += 1
        self.check_files(self._files)

    def check_files(self, count: int) -> None:
        """Raise LimitExceeded if `count` files are too many."""
        most = self.limits.max_schema_files
        if count > most:
            raise LimitExceeded(
                f"the schema has more than max_schema_files={most} files",
                limit="max_schema_files",
                maximum=most,
                seen=count,
            )

    def add_bytes(self, count: int, name: str) -> None:
        """Count `count` more bytes, of a file called `name`."""
        most = self.limits.max_schema_bytes
        if self._bytes + count > most:
            raise LimitExceeded(
                f"with {name} ({count} bytes) the schema is larger than max_schema_bytes={most}",
                limit="max_schema_bytes",
                maximum=most,
                seen=self._bytes + count,
            )
        self._bytes += count

    def read(self, path: str, name: str) -> bytes:
        """Read a regular file, its size checked first.

        Raises:
            SchemaError: It is no regular file, or cannot be read.
            LimitExceeded: It is more than is left.
        """
        try:
            # The path is resolved: a link here appeared since. A FIFO must not keep us waiting.
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            reason = "is a symbolic link" if error.errno == errno.ELOOP else error.strerror or "?"
            raise SchemaError(f"cannot be read: {reason}", file=name) from error
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            os.close(handle)  # open() would refuse a directory, and leave its handle to nobody
            raise SchemaError("is no regular file", file=name)
        with open(handle, "rb") as file:
            self.add_bytes(status.st_size, name)
            content = file.read(status.st_size + 1)
        if len(content) > status.st_size:
            raise SchemaError("grew while it was read", file=name)
        return content
