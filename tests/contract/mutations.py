"""Small honest npz files, and everything that is done to them before they are read."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.contract.forge import DEFLATED, STORED, Member, archive, claim, deflate, npy

#: Sizes, counts and offsets that break arithmetic.
NUMBERS = [0, 1, 2, 3, 22, 46, 127, 128, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 1 << 16, 1 << 20, 1 << 24]
NUMBERS += [0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF, 1 << 32, 1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]
#: Headers and parts of them that a writer might put, or an attacker.
WORDS = ["|u1", "<i4", ">u2", "<f2", "|b1", "<f8", "<f16", "<c8", "|O", "|S3", "<U2", "|V4", "<M8[s]", "u1,u1", "9", ""]


# --------------------------------------------------------------------------- honest files


def honest_files(rng: random.Random) -> list[tuple[str, tuple[int, ...], list[Member]]]:
    """Small files of every kind: name of the case, shape of its labels, members."""
    noise = np.random.default_rng(rng.randrange(1 << 30))
    files = []
    for volume in (False, True):
        shape = (3, 9, 7) if volume else (9, 7)
        for dtype in ("u1", "<u2", ">i4", "<i8", "?", "<f4", ">f8", "<f2", "g"):
            segs = noise.integers(0, 2 if dtype == "?" else 5, shape).astype(dtype)
            arrays: dict[str, Any] = {
                "segs": np.asfortranarray(segs) if rng.random() < 0.3 else segs,
                "gts": noise.integers(0, 5, shape).astype(rng.choice(["u1", "u2", ">u4", "?"])),
                "imgs": noise.integers(0, 256, shape if volume else (*shape, 3), np.uint8),
                "boxes": np.array([[0, 0, 0, 7, 9, 3], [1, 2, 1, 4, 5, 1]] if volume else [[0, 0, 7, 9], [1, 2, 4, 5]]),
                "spacing": np.array([0.7, 0.7, 2.5]),
            }
            method = rng.choice([STORED, DEFLATED])
            version = rng.choice([(1, 0), (1, 0), (2, 0), (3, 0)])
            members = [Member(f"{key}.npy", npy(array, version=version), method) for key, array in arrays.items()]
            files.append(("3DBox_CT_1" if volume else "2DBox_US_1", shape, members))
    return files


# --------------------------------------------------------------------------- mutations of bytes


def flip_bits(raw: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice([1, 1, 2, 8, 64])):
        raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)


def truncate(raw: bytearray, rng: random.Random) -> None:
    del raw[rng.randrange(len(raw)) :]


def splice(raw: bytearray, rng: random.Random) -> None:
    start, stop = sorted(rng.randrange(len(raw)) for _ in range(2))
    at = rng.randrange(len(raw))
    raw[at:at] = raw[start:stop]


def cut(raw: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(raw))
    del raw[start : start + rng.choice([1, 2, 4, 40, 200])]


def overwrite(raw: bytearray, rng: random.Random) -> None:
    at, size = rng.randrange(len(raw)), rng.choice([1, 2, 4, 8])
    raw[at : at + size] = (rng.choice(NUMBERS) & ((1 << 8 * size) - 1)).to_bytes(size, "little")


def edit_zip_field(raw: bytearray, rng: random.Random) -> None:
    """Put a number into one field of a local header, directory entry or end record."""
    signature, widths = rng.choice(
        [
            (b"PK\x03\x04", [2, 2, 2, 2, 2, 4, 4, 4, 2, 2]),
            (b"PK\x01\x02", [2, 2, 2, 2, 2, 2, 4, 4, 4, 2, 2, 2, 2, 2, 4, 4]),
            (b"PK\x05\x06", [2, 2, 2, 2, 4, 4, 2]),
        ]
    )
    places = [i for i in range(len(raw)) if raw[i : i + 4] == signature]
    if not places:
        return
    field = rng.randrange(len(widths))
    at = rng.choice(places) + 4 + sum(widths[:field])
    old = int.from_bytes(raw[at : at + widths[field]], "little")
    value = rng.choice([*NUMBERS, old + 1, old - 1, old * 2, len(raw)])
    raw[at : at + widths[field]] = (value & ((1 << 8 * widths[field]) - 1)).to_bytes(widths[field], "little")


def add_zip64_record(raw: bytearray, rng: random.Random) -> None:
    """Put a zip64 end record and locator with odd numbers before the end record."""
    at = raw.rfind(b"PK\x05\x06")
    if at < 0:
        return
    n = [rng.choice([*NUMBERS, at, 1]) & ((1 << 64) - 1) for _ in range(6)]
    record = b"PK\x06\x06" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, n[0], n[1], n[2], n[3])
    locator = b"PK\x06\x07" + struct.pack("<IQI", 0, rng.choice([at, n[4]]), rng.choice([1, n[5] & 0xFFFFFFFF]))
    raw[at:at] = record + locator


# --------------------------------------------------------------------------- mutations of members


def lie(members: list[Member], rng: random.Random) -> None:
    member = rng.choice(members)
    name = rng.choice(["size", "compressed", "crc", "flags", "method"])
    member.lies[name] = rng.choice(NUMBERS) & {"flags": 0xFFFF, "method": 0xFFFF, "crc": 0xFFFFFFFF}.get(name, -1 >> 1)
    member.lies[name] &= (1 << 64) - 1


def swap_data(members: list[Member], rng: random.Random) -> None:
    a, b = rng.sample(members, 2)
    a.data, b.data = b.data, a.data


def rename(members: list[Member], rng: random.Random) -> None:
    rng.choice(members).name = rng.choice(["segs.npy", "segs", "imgs.npy", "gts", "", "x/../segs.npy", "segs.npy.npy"])


def duplicate(members: list[Member], rng: random.Random) -> None:
    chosen = rng.choice(members)
    members.append(Member(chosen.name, chosen.data + bytes(rng.randrange(3)), chosen.method))


def drop(members: list[Member], rng: random.Random) -> None:
    del members[rng.randrange(len(members))]


def reheader(members: list[Member], rng: random.Random) -> None:
    """Another dtype, shape or order, packed again with a right checksum."""
    member = rng.choice(members)
    sizes = [rng.choice([*NUMBERS[:12], 3, 7, 9, 9, 7, -1, rng.choice(NUMBERS)]) for _ in range(rng.randrange(5))]
    shape = rng.choice([tuple(sizes), (9, 7), (3, 9, 7), (9, 7, 3), (7, 9), (63,), (9, 1)])
    header = claim(rng.choice(WORDS), shape, fortran=rng.random() < 0.3)
    data = rng.choice([member.data[128:], bytes(rng.randrange(4096)), rng.randbytes(rng.randrange(4096))])
    member.data = npy(header=header, data=data, version=rng.choice([(1, 0), (2, 0), (3, 0)]))


def edit_header_text(members: list[Member], rng: random.Random) -> None:
    """Change characters of an npy header, packed again with a right checksum."""
    member = rng.choice(members)
    raw = bytearray(member.data)
    for _ in range(rng.choice([1, 1, 2, 5])):
        at = rng.randrange(min(len(raw), 90))
        raw[at] = rng.choice([*b"0123456789(),[]{}'<>|=-L:uficbOSV \n#", rng.randrange(256)])
    member.data = bytes(raw)


def lengthen_header(members: list[Member], rng: random.Random) -> None:
    member = rng.choice(members)
    text = rng.choice(["(", "[", "-", "1+", "{1:", " ", "'", "not "]) * rng.choice([50, 150, 3000, 20_000])
    version = rng.choice([(1, 0), (2, 0), (3, 0)])
    length = rng.choice([None, None, *[n for n in NUMBERS if n < 1 << (16 if version == (1, 0) else 32)]])
    if version == (1, 0):
        text = text[:60_000]
    member.data = npy(header=text, data=bytes(63), version=version, header_length=length)


def inflate(members: list[Member], rng: random.Random) -> None:
    """A bomb: zeros behind the array, or claimed by it."""
    member = rng.choice(members)
    zeros = bytes(rng.choice([1 << 12, 1 << 20, (1 << 20) + 1, 3 << 20]))
    if rng.random() < 0.5:
        member.data += zeros
    else:
        member.data = npy(header=claim("|u1", (len(zeros),)), data=zeros)
    member.method = DEFLATED


def repack(members: list[Member], rng: random.Random) -> None:
    """Damage the deflate stream, or put another valid one in its place."""
    member = rng.choice(members)
    packed = bytearray(deflate(member.data, rng.randrange(10)))
    rng.choice([flip_bits, truncate, splice, cut, overwrite, lambda raw, _: raw.extend(bytes(99))])(packed, rng)
    member.packed, member.method = bytes(packed), DEFLATED


def overlap(members: list[Member], rng: random.Random) -> None:
    rng.choice(members).offset = rng.choice([0, 1, 30, 200, 500, *NUMBERS]) & 0xFFFFFFFF


OF_BYTES: list[Callable[[bytearray, random.Random], None]] = [
    flip_bits, truncate, splice, cut, overwrite, edit_zip_field, edit_zip_field, add_zip64_record,
]  # fmt: skip
OF_MEMBERS: list[Callable[[list[Member], random.Random], None]] = [
    lie, swap_data, rename, duplicate, drop, reheader, reheader, edit_header_text, edit_header_text,
    lengthen_header, inflate, repack, overlap,
]  # fmt: skip


def mutate(members: list[Member], rng: random.Random) -> tuple[bytes, str]:
    """One mutated file and the names of what was done to it."""
    members = [Member(m.name, m.data, m.method) for m in members]
    done = []
    if rng.random() < 0.65:
        for _ in range(rng.choice([1, 1, 2, 3])):
            change = rng.choice(OF_MEMBERS)
            if len(members) > 1:
                change(members, rng)
                done.append(change.__name__)
    raw = bytearray(archive(members))
    if not done or rng.random() < 0.25:
        for _ in range(rng.choice([1, 1, 2])):
            damage = rng.choice(OF_BYTES)
            if len(raw) > 8:
                damage(raw, rng)
                done.append(damage.__name__)
    return bytes(raw), "+".join(done)
