"""The disk limit: what a container adds, in scratch and in its writable layer together."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from harness.run import disk, scratch
from harness.run.disk import DiskWatch, unlinked_use
from harness.run.scratch import Scratch
from tests.run.run_kit import LIMITS, as_root

LIMIT = LIMITS.disk_bytes


def nothing() -> int:
    """An engine that knows of no writable layer."""
    return 0


@pytest.fixture(params=[pytest.param("mounted", marks=as_root), "watched"])
def space(request, tmp_path, monkeypatch):
    """Scratch with a large input laid out, which must not count."""
    if request.param == "watched":
        monkeypatch.setattr(scratch.Scratch, "_mount", lambda self: False)
    source = tmp_path / "case.npz"
    source.write_bytes(b"x" * (3 << 20))
    with Scratch(tmp_path / "root", LIMITS, 3 << 20) as made:
        made.put(source, "x.npz")
        yield made


def test_what_stays_below_the_limit_passes(space):
    watch = DiskWatch(space, space.used(), [], LIMITS, nothing)
    assert not watch.over()
    (space.outputs / "x.npz").write_bytes(b"x" * (LIMIT - (1 << 20)))
    assert not watch.over()
    assert not watch.final()
    assert LIMIT - (2 << 20) < watch.highest <= LIMIT


def test_bytes_beyond_the_limit(space):
    watch = DiskWatch(space, space.used(), [], LIMITS, nothing)
    (space.outputs / "x.npz").write_bytes(b"x" * (LIMIT + (1 << 20)))
    assert watch.over()
    assert watch.final()
    assert watch.highest > LIMIT


def test_many_small_files_of_few_bytes_beyond_the_limit(space):
    """A counter that stops just beyond the limit must not forget what was there before."""
    watch = DiskWatch(space, space.used(), [], LIMITS, nothing)
    for number in range(LIMIT // (64 << 10) + 8):
        (space.outputs / f"{number}").write_bytes(b"x" * (64 << 10))
    assert watch.over()


def test_inodes_beyond_the_limit(space):
    watch = DiskWatch(space, space.used(), [], LIMITS, nothing)
    for number in range(LIMITS.disk_inodes - 10):
        (space.outputs / f"{number}").touch()
    assert not watch.over()
    for number in range(20):
        (space.outputs / f"more{number}").touch()
    assert watch.over()


class TestLayer:
    """The container's own files are walked only when the disk below them loses something."""

    @pytest.fixture
    def layer(self, tmp_path):
        folder = tmp_path / "upper"
        folder.mkdir()
        return folder

    def test_it_counts_together_with_scratch(self, space, layer, monkeypatch):
        free = [100 << 30]
        monkeypatch.setattr(DiskWatch, "_host_free", lambda self: (free[0], 10_000_000))
        watch = DiskWatch(space, space.used(), [layer], LIMITS, nothing)
        (layer / "cache").write_bytes(b"x" * (LIMIT - (2 << 20)))
        assert not watch.over()  # the host seems to have lost nothing, so nothing was walked
        free[0] -= disk._WALK_BYTES + 1
        assert not watch.over()
        (space.outputs / "x.npz").write_bytes(b"x" * (3 << 20))
        assert watch.over()

    def test_space_that_others_set_free_hides_nothing(self, space, layer, monkeypatch):
        free = [100 << 30]
        monkeypatch.setattr(DiskWatch, "_host_free", lambda self: (free[0], 10_000_000))
        watch = DiskWatch(space, space.used(), [layer], LIMITS, nothing)
        free[0] += 50 << 30
        assert not watch.over()
        (layer / "cache").write_bytes(b"x" * (LIMIT + 4096))
        free[0] -= disk._WALK_BYTES + 1
        assert watch.over()

    def test_a_walk_is_not_repeated_while_nothing_is_lost(self, space, layer, monkeypatch):
        walks = []
        monkeypatch.setattr(disk, "tree_use", lambda *args: walks.append(args) or (0, 0))
        watch = DiskWatch(space, space.used(), [layer], LIMITS, nothing)
        for _ in range(20):
            watch.over()
        assert len(walks) <= 1  # others may write to this disk meanwhile

    @as_root
    def test_files_that_are_open_but_in_no_folder(self, tmp_path):
        before, _ = unlinked_use(tmp_path)
        with open(tmp_path / "gone", "wb") as file:
            (tmp_path / "gone").unlink()
            file.write(b"x" * (1 << 20))
            file.flush()
            os.fsync(file.fileno())
            if os.stat("/").st_dev == os.stat(tmp_path).st_dev:  # this process is as one of a container there
                found, inodes = unlinked_use(tmp_path)
                assert found >= before + (1 << 20)
                assert inodes >= 1
        assert unlinked_use(tmp_path / "no such root") == (0, 0)

    def test_inodes_of_the_layer(self, space, layer, monkeypatch):
        free = [10_000_000]
        monkeypatch.setattr(DiskWatch, "_host_free", lambda self: (100 << 30, free[0]))
        limits = replace(LIMITS, disk_inodes=50)
        watch = DiskWatch(space, space.used(), [layer], limits, nothing)
        for number in range(60):
            (layer / f"{number}").touch()
        free[0] -= disk._WALK_INODES + 1
        assert watch.over()

    def test_a_layer_that_cannot_be_seen_is_left_out(self, space, tmp_path):
        watch = DiskWatch(space, space.used(), [Path("/nowhere/upper"), tmp_path / "gone"], LIMITS, nothing)
        assert not watch.over()

    def test_the_engine_is_asked_now_and_then_where_the_layer_cannot_be_seen(self, space, tmp_path):
        asked = []
        watch = DiskWatch(space, space.used(), [tmp_path / "gone"], LIMITS, lambda: asked.append(1) or LIMIT + 1)
        looks = 0
        while not watch.over():
            looks += 1
            assert looks < 100
        assert len(asked) == 1
        assert looks >= 10  # asking costs the engine time

    def test_the_engine_is_not_asked_where_the_layer_can_be_seen(self, space, layer):
        watch = DiskWatch(space, space.used(), [layer], LIMITS, lambda: pytest.fail("asked"))
        assert not any(watch.over() for _ in range(100))
