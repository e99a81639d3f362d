"""Scratch space: what a container can leave is looked at without trust, and what dead runs left is cleared away."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import socket
import stat
import subprocess
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.run import roots, scratch
from harness.run.roots import host_lock, is_alive, reap_folders
from harness.run.scratch import Scratch
from harness.run.trees import remove_tree, tree_use
from tests.run.run_kit import LIMITS, PYTHON, ROOT, as_root

NAME = "2DBox_US_0001.npz"
CASE_BYTES = b"case" * 1000


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "case.npz"
    path.write_bytes(CASE_BYTES)
    return path


@pytest.fixture(params=[pytest.param("mounted", marks=as_root), "watched"])
def space(request, tmp_path, monkeypatch):
    """Scratch space on a file system of its own, and in a plain folder."""
    if request.param == "watched":
        monkeypatch.setattr(scratch.Scratch, "_mount", lambda self: False)
    with Scratch(tmp_path / "root", LIMITS, len(CASE_BYTES)) as made:
        assert made.hard_limit == (request.param == "mounted")
        yield made


@pytest.fixture
def filled(space, source):
    """With a case laid out."""
    space.put(source, NAME)
    return space


class TestLayingOut:
    def test_the_input_is_a_private_writable_copy(self, space, source):
        digest = space.put(source, NAME)
        copy = space.inputs / NAME
        assert digest == hashlib.sha256(CASE_BYTES).hexdigest()
        assert copy.read_bytes() == CASE_BYTES
        assert stat.S_IMODE(copy.stat().st_mode) == 0o666
        copy.write_bytes(b"spoilt")
        assert source.read_bytes() == CASE_BYTES

    def test_only_the_harness_gets_to_the_folder_that_anybody_may_write_to(self, space):
        for folder, mode in ((space.folder, 0o700), (space.inputs, 0o777), (space.outputs, 0o777)):
            assert stat.S_IMODE(folder.stat().st_mode) == mode
        assert stat.S_IMODE(space.quarantine.stat().st_mode) == 0o700

    def test_nothing_is_left_afterwards(self, tmp_path):
        with Scratch(tmp_path / "root", LIMITS, 0) as made:
            folder = made.folder
            assert folder.is_dir()
        assert not folder.exists()
        assert str(folder) not in Path("/proc/mounts").read_text()


@as_root
def test_the_mounted_file_system_has_room_for_limit_and_input_and_little_more(tmp_path):
    limits = replace(LIMITS, disk_bytes=16 << 20, disk_inodes=2000)
    with Scratch(tmp_path / "root", limits, 5 << 20) as made:
        found = os.statvfs(made.disk)
        room, inodes = found.f_bavail * found.f_frsize, found.f_favail
        assert limits.disk_bytes + (5 << 20) <= room <= limits.disk_bytes + (5 << 20) + (80 << 20)
        assert limits.disk_inodes <= inodes <= 3 * limits.disk_inodes
        mount = next(line for line in Path("/proc/mounts").read_text().splitlines() if str(made.disk) in line)
        assert {"nosuid", "nodev"} <= set(mount.split()[3].split(","))


class TestCollecting:
    """Whatever lies in outputs is data of a stranger."""

    def collect(self, space):
        return space.collect(NAME)

    def test_a_regular_file_goes_into_quarantine(self, filled):
        (filled.outputs / NAME).write_bytes(b"prediction")
        left = self.collect(filled)
        assert left.file == filled.quarantine / NAME
        assert left.file.read_bytes() == b"prediction"
        assert (left.bytes, left.links, left.unusable, left.extra) == (10, 1, "", ())
        assert (left.input_changes, left.input_extra, left.total_bytes) == ("", False, 10)
        assert not (filled.outputs / NAME).exists()

    def test_nothing(self, filled):
        left = self.collect(filled)
        assert (left.file, left.unusable, left.extra, left.total_bytes) == (None, "", (), 0)

    def test_a_symbolic_link_is_not_followed(self, filled, tmp_path):
        secret = tmp_path / "secret"
        secret.write_bytes(b"host")
        (filled.outputs / NAME).symlink_to(secret)
        left = self.collect(filled)
        assert (left.file, left.unusable) == (None, "it is a symbolic link")
        assert secret.read_bytes() == b"host"

    def test_a_fifo_does_not_block(self, filled):
        os.mkfifo(filled.outputs / NAME)
        assert self.collect(filled).unusable == "it is a FIFO"

    def test_a_folder_a_socket_and_a_device(self, filled):
        (filled.outputs / NAME).mkdir()
        assert self.collect(filled).unusable == "it is a folder"
        filled.empty()
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(f"/proc/self/fd/{os.open(filled.outputs, os.O_RDONLY)}/{NAME}")
        assert self.collect(filled).unusable == "it is a socket"

    @as_root
    def test_a_device_node(self, filled):
        os.mknod(filled.outputs / NAME, 0o666 | stat.S_IFCHR, os.makedev(1, 5))  # /dev/zero
        assert self.collect(filled).unusable == "it is a device node"

    def test_links_are_counted(self, filled):
        (filled.outputs / "other").write_bytes(b"x")
        os.link(filled.outputs / "other", filled.outputs / NAME)
        left = self.collect(filled)
        assert (left.links, left.extra) == (2, ("other",))

    def test_a_sparse_file_counts_in_full(self, filled):
        (filled.outputs / NAME).touch()
        os.truncate(filled.outputs / NAME, 1 << 40)
        left = self.collect(filled)
        assert left.bytes == left.total_bytes == 1 << 40

    def test_other_files_are_named_and_counted(self, filled):
        (filled.outputs / NAME).write_bytes(b"12345")
        (filled.outputs / "efficiency.csv").write_bytes(b"123")
        (filled.outputs / "b").mkdir()
        left = self.collect(filled)
        assert left.extra == ("b", "efficiency.csv")
        assert left.total_bytes >= 8

    def test_names_that_would_steer_a_terminal_or_break_a_table(self, filled):
        for name in (b"\x1b[2Jx", b"a\nb", b"\xff\xfe", "ä".encode()):
            (Path(os.fsdecode(os.fsencode(filled.outputs) + b"/" + name))).touch()
        left = self.collect(filled)
        assert len(left.extra) == 4
        assert "ä" in left.extra
        for name in left.extra:
            assert name.isprintable()
            name.encode("utf-8")

    def test_a_hundred_thousand_names_are_not_all_listed(self, filled, monkeypatch):
        monkeypatch.setattr(scratch, "_MAX_ENTRIES", 50)
        for number in range(100):
            (filled.outputs / f"{number}").touch()
        assert len(self.collect(filled).extra) == 20

    def test_an_input_changed_deleted_or_accompanied(self, filled, source):
        (filled.inputs / NAME).write_bytes(b"x" * len(CASE_BYTES))
        assert self.collect(filled).input_changes == "changed"
        (filled.inputs / NAME).unlink()
        assert self.collect(filled).input_changes == "deleted"
        filled.empty()
        filled.put(source, NAME)
        (filled.inputs / "cache").mkdir()
        left = self.collect(filled)
        assert (left.input_changes, left.input_extra) == ("", True)

    def test_an_input_of_the_same_size_and_date_is_still_seen_to_be_another(self, filled):
        path = filled.inputs / NAME
        before = path.stat()
        data = bytearray(CASE_BYTES)
        data[7] ^= 1
        path.write_bytes(data)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert self.collect(filled).input_changes == "changed"

    def test_reading_the_input_is_no_change(self, filled):
        time.sleep(0.01)
        (filled.inputs / NAME).read_bytes()
        assert self.collect(filled).input_changes == ""


class TestEmptying:
    def test_nothing_of_an_attempt_is_there_for_the_next(self, filled):
        for folder in (filled.inputs, filled.outputs):
            (folder / "a" / "b").mkdir(parents=True)
            (folder / "a" / "b" / "cache").write_bytes(b"x" * 100_000)
            os.chmod(folder / "a", 0)
        (filled.outputs / NAME).write_bytes(b"p")
        filled.collect(NAME)
        before = filled.used()
        filled.empty()
        for folder in (filled.inputs, filled.outputs, filled.quarantine):
            assert list(folder.iterdir()) == []
        assert stat.S_IMODE(filled.outputs.stat().st_mode) == 0o777
        assert filled.used() < before

    def test_folders_nested_deeper_than_any_path_or_recursion(self, filled):
        """A container may nest a folder for each inode it has: removing them must neither fail nor recurse."""
        depth = 6000 if filled.hard_limit else 3000
        nest(filled.outputs, depth)
        filled.empty()
        assert list(filled.outputs.iterdir()) == []

    def test_a_full_file_system_can_be_emptied(self, filled):
        if not filled.hard_limit:
            pytest.skip("only a file system of its own can be filled")
        nest(filled.outputs, 30)
        for size in (1 << 20, 1 << 12):
            with open(filled.outputs / f"full{size}", "wb", buffering=0) as file, suppress(OSError):
                while True:
                    file.write(b"x" * size)
        assert os.statvfs(filled.disk).f_bavail == 0
        filled.empty()
        assert filled.used()[0] < 1 << 20


def nest(folder: Path, depth: int) -> None:
    """Folders within folders, a file in the last."""
    here = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        try:
            os.mkdir("n", dir_fd=here)
        except OSError:  # no inode is left
            break
        inner = os.open("n", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)


class TestRemoving:
    def test_links_are_removed_not_followed(self, tmp_path):
        precious = tmp_path / "precious"
        precious.mkdir()
        (precious / "file").touch()
        tree = tmp_path / "tree"
        tree.mkdir()
        (tree / "link").symlink_to(precious)
        remove_tree(tree)
        assert not tree.exists()
        assert (precious / "file").exists()

    def test_a_folder_that_is_gone_already(self, tmp_path):
        remove_tree(tmp_path / "gone")
        assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700  # pytest's own

    def test_many_files(self, tmp_path):
        tree = tmp_path / "tree"
        for number in range(30):
            (tree / f"{number}").mkdir(parents=True)
            for inner in range(30):
                (tree / f"{number}" / f"{inner}").touch()
        remove_tree(tree)
        assert not tree.exists()

    @as_root
    def test_a_user_clears_and_collects_what_lacks_their_own_permissions(self, source):
        """A container of the harness's own user id may close its folders to that user."""
        code = (
            "import os, sys\nfrom pathlib import Path\nfrom tests.run.run_kit import LIMITS\n"
            "from harness.run.scratch import Scratch\n"
            "with Scratch(Path(sys.argv[1]) / 'root', LIMITS, 0) as space:\n"
            "    space.put(Path(sys.argv[2]), 'x.npz')\n"
            "    (space.outputs / 'x.npz').write_bytes(b'p')\n"
            "    (space.outputs / 'closed').mkdir()\n"
            "    (space.outputs / 'closed' / 'file').touch()\n"
            "    for folder in (space.outputs / 'closed', space.outputs, space.inputs):\n"
            "        os.chmod(folder, 0)\n"
            "    left = space.collect('x.npz')\n"
            "    assert left.file.read_bytes() == b'p' and left.extra == ('closed',), left\n"
            "    space.empty()\n"
            "    assert not list(space.outputs.iterdir())\n"
            "print('done')\n"
        )
        place = Path("/tmp") / f"harness-test-{os.getpid()}"
        place.mkdir(mode=0o777)
        try:
            os.chmod(place, 0o777)
            shutil.copy(source, place / "case.npz")
            os.chmod(place / "case.npz", 0o644)
            for package in ("harness", "tests"):  # the checkout itself may be closed to others
                shutil.copytree(ROOT / package, place / package, ignore=shutil.ignore_patterns("__pycache__"))
            subprocess.run(["chmod", "-R", "a+rX", place], check=True)
            command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", PYTHON, "-c", code, place]
            environment = {"PYTHONPATH": f"{place}", "PATH": os.environ["PATH"]}
            done = subprocess.run(
                [*command, place / "case.npz"], env=environment, capture_output=True, text=True, check=False
            )
            if "Permission denied" in done.stderr and "python" in done.stderr and "Traceback" not in done.stderr:
                pytest.skip("this interpreter is closed to other users")
            assert (done.stdout, done.returncode) == ("done\n", 0), done.stderr
        finally:
            shutil.rmtree(place)


class TestDeadRuns:
    """What a killed run left is removed by the next one, and nothing else is."""

    def killed_run(self, root: Path) -> Path:
        """The folder of a run that was killed with its scratch space laid out."""
        code = (
            "import sys, time\nfrom pathlib import Path\nfrom tests.run.run_kit import LIMITS\n"
            "from harness.run.scratch import Scratch\n"
            "with Scratch(Path(sys.argv[1]), LIMITS, 0) as space:\n"
            "    (space.outputs / 'left').write_bytes(b'x')\n    print(space.folder, flush=True)\n    time.sleep(60)\n"
        )
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        with subprocess.Popen([PYTHON, "-c", code, root], stdout=subprocess.PIPE, text=True, env=environment) as child:
            folder = Path(child.stdout.readline().strip())
            try:
                assert folder.is_dir()
                assert is_alive(root, folder.name)
                assert reap_folders(root) == []  # it lives
            finally:
                child.send_signal(signal.SIGKILL)
        return folder

    def test_folder_and_mount_of_a_killed_run_go(self, tmp_path):
        root = tmp_path / "root"
        folder = self.killed_run(root)
        assert folder.exists()
        assert not is_alive(root, folder.name)
        if os.getuid() == 0:
            assert str(folder / "disk") in Path("/proc/mounts").read_text()
        assert reap_folders(root) == [folder.name]
        assert not folder.exists()
        assert str(folder) not in Path("/proc/mounts").read_text()

    def test_folders_of_others_stay(self, tmp_path):
        """HARNESS_SCRATCH may name a folder that holds other things: none of them may be touched."""
        root = tmp_path / "data"
        for name in ("photos", "12-abcdef012345", "deadbeef-0123456789ab"):
            (root / name).mkdir(parents=True)
            (root / name / "precious").touch()
        os.chmod(root, 0o755)
        folder = self.killed_run(root)
        assert reap_folders(root) == [folder.name]
        with Scratch(root, LIMITS, 0):
            pass
        for name in ("photos", "12-abcdef012345", "deadbeef-0123456789ab"):
            assert (root / name / "precious").exists()
        assert stat.S_IMODE(root.stat().st_mode) == 0o755

    def test_a_run_killed_before_its_lock_was_there(self, tmp_path):
        root = tmp_path / "root"
        empty = root / f"{roots.owner_prefix(root)}0123456789ab"
        empty.mkdir(parents=True)
        assert reap_folders(root) == [empty.name]

    def test_two_roots_never_share_a_label(self, tmp_path):
        with Scratch(tmp_path / "a", LIMITS, 0) as one, Scratch(tmp_path / "b", LIMITS, 0) as two:
            assert one.label.startswith(roots.owner_prefix(tmp_path / "a"))
            assert not two.label.startswith(roots.owner_prefix(tmp_path / "a"))
            assert not is_alive(tmp_path / "a", two.label)


class TestHostLock:
    def test_a_second_run_is_refused_until_the_first_ends(self, scratch_here):
        with host_lock(scratch_here):
            with pytest.raises(UsageError, match=r"another run is being timed.*host\.lock"), host_lock(scratch_here):
                pass
            child = subprocess.run(
                [PYTHON, "-c", "import sys\nfrom pathlib import Path\nfrom harness.run.roots import host_lock\n"
                 "with host_lock(Path(sys.argv[1])): print('got it')", scratch_here],
                cwd=ROOT, capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert "another run is being timed" in child.stderr
            assert child.stdout == ""
        with host_lock(scratch_here):
            pass

    def test_one_lock_for_all_users_unless_a_scratch_root_is_named(self, tmp_path, monkeypatch):
        monkeypatch.delenv("HARNESS_SCRATCH", raising=False)
        monkeypatch.setattr(roots.tempfile, "gettempdir", lambda: str(tmp_path))
        assert roots.host_lock_path(tmp_path / "mine") == roots.host_lock_path(tmp_path / "yours")
        with host_lock(tmp_path / "mine"):
            assert stat.S_IMODE((tmp_path / "cvpr24-harness.lock").stat().st_mode) == 0o666
            with pytest.raises(UsageError), host_lock(tmp_path / "yours"):
                pass

    def test_a_lock_is_not_taken_through_a_strangers_link(self, tmp_path, monkeypatch):
        """The lock lies in a folder that everybody writes to."""
        monkeypatch.delenv("HARNESS_SCRATCH", raising=False)
        monkeypatch.setattr(roots.tempfile, "gettempdir", lambda: str(tmp_path))
        (tmp_path / "cvpr24-harness.lock").symlink_to(tmp_path / "target")
        with pytest.raises(UsageError, match=r"cvpr24-harness\.lock"), host_lock(tmp_path / "mine"):
            pass
        assert not (tmp_path / "target").exists()

    def test_a_root_that_cannot_be_made(self, tmp_path):
        (tmp_path / "file").touch()
        for root in (tmp_path / "file", tmp_path / "file" / "below"):
            with pytest.raises(UsageError, match="HARNESS_SCRATCH"), host_lock(root):
                pass


class TestUse:
    def test_the_tree_is_measured_in_allocated_bytes_and_inodes(self, tmp_path):
        (tmp_path / "a" / "b").mkdir(parents=True)
        (tmp_path / "a" / "b" / "file").write_bytes(b"x" * 8192)
        (tmp_path / "sparse").touch()
        os.truncate(tmp_path / "sparse", 1 << 30)
        total, inodes = tree_use(tmp_path, 1 << 30, 100)
        assert inodes == 4
        assert 8192 <= total < 64 << 10

    def test_counting_stops_at_either_limit(self, tmp_path):
        for number in range(50):
            (tmp_path / f"{number}").write_bytes(b"x" * 5000)
        assert tree_use(tmp_path, 1 << 30, 10)[1] == 11
        assert 40_000 < tree_use(tmp_path, 40_000, 1000)[0] < 60_000

    def test_what_lies_too_deep_to_be_measured_is_over_the_limit(self, tmp_path):
        """Else a container could fill the disk below a path longer than the system takes."""
        nest(tmp_path, 2500)
        try:
            assert tree_use(tmp_path, 1 << 30, 10_000)[0] > 1 << 30
        finally:
            remove_tree(tmp_path / "n")

    def test_a_folder_that_is_gone_is_nothing(self, tmp_path):
        assert tree_use(tmp_path / "gone", 100, 100) == (0, 0)
