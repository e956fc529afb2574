"""Bytes by their place: of a file, or of a stream of which only the beginning and the end are kept."""

import os
from typing import BinaryIO, Protocol

HEAD_BYTES = 1 << 18
TAIL_BYTES = 1 << 18


class View(Protocol):
    """Bytes by their place.

    Attributes:
        size: bytes of the recording.
    """

    size: int

    def at(self, offset: int, count: int) -> bytes:
        """Returns the bytes at a place: fewer at the end, none where they are gone."""


class FileView:
    """A file that can be read at any place.

    Args:
        file: the file, whose position changes.
    """

    def __init__(self, file: BinaryIO):
        self._file = file
        self.size = file.seek(0, os.SEEK_END)

    def at(self, offset: int, count: int) -> bytes:
        """See `View`."""
        if offset >= self.size:  # perhaps beyond what can be sought
            return b""
        self._file.seek(offset)
        return self._file.read(count)


class StreamView:
    """A pipe that a decoder reads through: its first and last bytes are kept.

    Args:
        stream: the pipe.
        head: bytes that were read from it already.
    """

    def __init__(self, stream: BinaryIO, head: bytes):
        self._stream, self._unread = stream, head
        self._head, self._tail, self.size = b"", b"", 0

    def read(self, count: int) -> bytes:
        """Returns the next bytes for the decoder, as soon as some are there."""
        data, self._unread = self._unread[:count], self._unread[count:]
        if not data:
            data = (getattr(self._stream, "read1", None) or self._stream.read)(count)
        self._head += data[: HEAD_BYTES - len(self._head)]
        self._tail = (self._tail + data)[-TAIL_BYTES:]
        self.size += len(data)
        return data

    def drain(self) -> None:
        """Reads what the decoder left."""
        while self.read(1 << 16):
            pass

    def at(self, offset: int, count: int) -> bytes:
        """See `View`."""
        tail_begin = self.size - len(self._tail)
        if offset >= tail_begin:
            return self._tail[offset - tail_begin :][:count]
        return self._head[offset : offset + count]
