"""Files of the right name that are damaged or forged npz files."""

import os
import struct
import zipfile
import zlib

from prediction import KEY, OUTPUTS, case_file, label_shape, npy, output_file, valid, write, write_valid

#: What a bomb inflates to, in bytes, from eight megabytes.
BOMB_BYTES = 8 << 30


def truncated() -> None:
    """A valid prediction that lacks its last quarter."""
    write_valid()
    with open(output_file(), "r+b") as file:
        file.truncate(os.fstat(file.fileno()).st_size * 3 // 4)


def bomb(head: bytes) -> None:
    """A member of `head` and then zeros, made quickly: one deflated piece repeated.

    The checksum is left wrong: it stands at the end, where only a reader arrives that inflated it all.
    """
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    first = packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)
    piece = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    count = BOMB_BYTES >> 20
    last = packer.flush()
    packed = len(first) + len(piece) * count + len(last)
    size = len(head) + BOMB_BYTES
    name, zip64 = KEY.encode(), struct.pack("<HHQQ", 1, 16, size, packed)
    common = struct.pack("<HHHHIIIHH", 0, 8, 0, 33, 0, 0xFFFFFFFF, 0xFFFFFFFF, len(name), len(zip64))
    with open(output_file(), "wb") as file:
        file.write(b"PK\x03\x04" + struct.pack("<H", 45) + common + name + zip64 + first)
        for _ in range(count):
            file.write(piece)
        file.write(last)
        start = file.tell()
        entry = b"PK\x01\x02" + struct.pack("<HH", 45, 45) + common + struct.pack("<HHHII", 0, 0, 0, 0, 0)
        file.write(entry + name + zip64)
        size = file.tell() - start
        file.write(b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, size, start, 0))


def zip_bomb() -> None:
    """An array of 8 GiB of zeros in a file of 8 MiB."""
    bomb(npy("|u1", (BOMB_BYTES,), b""))


def zip_bomb_behind() -> None:
    """An array of the right shape, and behind it in the same member 8 GiB of zeros."""
    bomb(npy("<u2", label_shape(), b""))


def claims_2_40() -> None:
    """A header that claims 2^40 elements over a hundred bytes."""
    write(output_file(), npy("|u1", (1 << 20, 1 << 20), bytes(100)))


def hard_link() -> None:
    """A hard link to the input; where that cannot be made, one to another name in outputs."""
    try:
        os.link(case_file(), output_file())
    except OSError:
        write_valid(OUTPUTS / "spare.npz")
        os.link(OUTPUTS / "spare.npz", output_file())


def not_a_zip() -> None:
    """A bare npy file of the right name."""
    output_file().write_bytes(valid())


def lzma_member() -> None:
    """A valid array compressed by a method that numpy never writes."""
    with zipfile.ZipFile(output_file(), "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr(KEY, valid())


BEHAVIOURS = {
    "truncated": truncated,
    "zip-bomb": zip_bomb,
    "zip-bomb-behind": zip_bomb_behind,
    "claims-2-40": claims_2_40,
    "hard-link": hard_link,
    "not-a-zip": not_a_zip,
    "lzma": lzma_member,
}
