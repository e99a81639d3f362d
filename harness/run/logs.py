"""What a container says: the head and the tail are kept, whatever flood lies between."""

from __future__ import annotations

import socket
import struct
import threading
from collections import deque
from contextlib import suppress

HEAD_BYTES = 64 << 10
TAIL_BYTES = 1 << 20

#: Frame header of the engine's attach stream: stream number, three zeros, payload length.
_FRAME = struct.Struct(">BxxxL")


class HeadAndTail:
    """Keeps the first `HEAD_BYTES` and the last `TAIL_BYTES` of what it is fed."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self.total = 0

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self.total += len(data)
        room = HEAD_BYTES - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        if data:
            self._tail.append(data)
            self._tail_size += len(data)
            while self._tail_size - len(self._tail[0]) >= TAIL_BYTES:
                self._tail_size -= len(self._tail.popleft())

    def text(self) -> str:
        """Head and tail as text, with a line saying how much was left out; safe to show on a terminal."""
        tail = b"".join(self._tail)[-TAIL_BYTES:]
        left_out = self.total - len(self._head) - len(tail)
        if not left_out:  # decoded as one: a letter may lie across both
            return printable(bytes(self._head) + tail)
        return printable(bytes(self._head)) + f"\n[... {left_out} bytes left out ...]\n" + printable(tail)


def printable(data: bytes) -> str:
    """Bytes as text without control characters (a log must not steer a terminal); newline and tab stay."""
    text = data.decode("utf-8", errors="replace").replace("\r\n", "\n")
    return "".join(c if c in "\n\t" or c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


class LogReader:
    """Reads an attach stream on a thread of its own until the container closes it."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream
        self.kept = HeadAndTail()
        self._thread = threading.Thread(target=self._run, name="container-log", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            pending = bytearray()
            while data := self._stream.recv(1 << 18):
                pending += data
                done = 0
                while len(pending) - done >= _FRAME.size:
                    _, size = _FRAME.unpack_from(pending, done)
                    if len(pending) - done < _FRAME.size + size:
                        break
                    self.kept.feed(bytes(pending[done + _FRAME.size : done + _FRAME.size + size]))
                    done += _FRAME.size + size
                del pending[:done]
        except OSError:
            return  # closed under us: what came so far is kept

    def close(self, wait_s: float = 2.0) -> HeadAndTail:
        """Wait shortly for the stream's end, then close it."""
        self._thread.join(wait_s)
        with suppress(OSError):
            self._stream.shutdown(socket.SHUT_RDWR)
        self._stream.close()
        self._thread.join(wait_s)
        return self.kept
