"""Logs: head and tail of any flood, put together from frames however the bytes arrive, safe on a terminal."""

from __future__ import annotations

import itertools
import socket
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.run import logs
from harness.run.logs import HeadAndTail, LogReader, printable


def naive(data: bytes, head: int, tail: int) -> tuple[bytes, int, bytes]:
    """What is kept, written down plainly."""
    if len(data) <= head + tail:
        return data[:head], 0, data[head:]
    return data[:head], len(data) - head - tail, data[-tail:]


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(logs, "HEAD_BYTES", 50)
    monkeypatch.setattr(logs, "TAIL_BYTES", 80)


@settings(deadline=None)
@given(pieces=st.lists(st.binary(max_size=60).map(lambda b: bytes(97 + x % 26 for x in b)), max_size=40))
def test_head_and_tail_against_a_naive_model(pieces):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logs, "HEAD_BYTES", 50)
        patch.setattr(logs, "TAIL_BYTES", 80)
        kept = HeadAndTail()
        for piece in pieces:
            kept.feed(piece)
        data = b"".join(pieces)
        head, left_out, tail = naive(data, 50, 80)
        gap = f"\n[... {left_out} bytes left out ...]\n" if left_out else ""
        assert kept.total == len(data)
        assert kept.text() == head.decode() + gap + tail.decode()


def test_a_flood_keeps_memory_small():
    kept = HeadAndTail()
    for _ in range(64):
        kept.feed(b"x" * (1 << 20))
    held = len(kept._head) + sum(len(piece) for piece in kept._tail)
    assert held <= logs.HEAD_BYTES + 2 * logs.TAIL_BYTES
    assert len(kept.text()) < logs.HEAD_BYTES + logs.TAIL_BYTES + 100
    assert kept.total == 64 << 20


def test_a_letter_across_head_and_tail_is_not_torn(small):
    kept = HeadAndTail()
    text = "é" * 60  # two bytes each: the head would end within one
    kept.feed(b"x" + text.encode())
    assert kept.text() == "x" + text


def frames(payloads: list[bytes]) -> bytes:
    return b"".join(struct.pack(">BxxxL", 1 + n % 2, len(data)) + data for n, data in enumerate(payloads))


def read_through(data: bytes, cuts: list[int]) -> HeadAndTail:
    ours, theirs = socket.socketpair()
    reader = LogReader(ours)
    marks = [0, *sorted(cuts), len(data)]
    for start, end in itertools.pairwise(marks):
        theirs.sendall(data[start:end])
    theirs.close()
    return reader.close()


def test_frames_split_at_any_byte():
    payloads = [b"hello\n", b"", b"a" * 300, b"end"]
    data = frames(payloads)
    for cut in range(len(data) + 1):
        kept = read_through(data, [cut])
        assert kept.text() == "hello\n" + "a" * 300 + "end"


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from([b"", b"a", b"bc\n", b"d" * 500]), max_size=8), st.data())
def test_frames_in_any_pieces(payloads, data):
    stream = frames(payloads)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=6))
    kept = read_through(stream, cuts)
    assert kept.text() == b"".join(payloads).decode()
    assert kept.total == sum(map(len, payloads))


def test_a_stream_that_breaks_off_keeps_what_came():
    kept = read_through(frames([b"first\n", b"second"])[:-3], [])
    assert kept.text() == "first\n"


def test_close_does_not_wait_for_a_stream_that_never_ends():
    ours, theirs = socket.socketpair()
    reader = LogReader(ours)
    theirs.sendall(frames([b"so far"]))
    assert reader.close(wait_s=0.1).text() == "so far"
    theirs.close()


class TestPrintable:
    def test_escape_codes_cannot_reach_a_terminal(self):
        hostile = b"\x1b[2J\x1b]0;title\x07 \x9b31m \x00 \x08\x7f ok"
        text = printable(hostile)
        assert all(c.isprintable() for c in text)
        assert text.endswith(" ok")

    def test_newline_tab_and_letters_of_any_language_stay(self):
        assert printable("a\tb\r\nÄ 医\n".encode()) == "a\tb\nÄ 医\n"

    def test_right_to_left_overrides_do_not(self):
        assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in printable("a\N{RIGHT-TO-LEFT OVERRIDE}b".encode())

    @settings(deadline=None)
    @given(st.binary(max_size=200))
    def test_any_bytes_become_text_that_can_be_written(self, data):
        text = printable(data)
        text.encode("utf-8")
        assert all(c in "\n\t" or c.isprintable() for c in text)
