"""Cases: checked wholly, once, with errors that name file, fault and remedy; nothing hidden reaches a submission."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from harness import cases as module
from harness import contract
from harness.cases import case_files, load_cases, reference_files, remember_digest, visible_file
from harness.errors import HarnessFault, InputError, UsageError
from harness.ledger import open_ledger
from tests.run.run_kit import PROTOCOL, labels, write_case


@pytest.fixture
def ledger(tmp_path):
    with open_ledger(tmp_path / "ledger.sqlite") as opened:
        yield opened


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "cases").mkdir()
    return tmp_path / "cases"


class TestFinding:
    def test_by_name_and_only_npz_files(self, folder):
        for name in ("2DBox_US_2", "2DBox_US_1"):
            write_case(folder, name)
        (folder / "notes.txt").touch()
        (folder / "folder.npz").mkdir()
        (folder / "._2DBox_US_1.npz").write_bytes(b"as other systems' archives leave them")
        assert [path.name for path in case_files(folder)] == ["2DBox_US_1.npz", "2DBox_US_2.npz"]

    def test_the_folder_above_imgs_and_gts_will_do(self, cases):
        imgs, gts = cases
        assert case_files(imgs.parent) == case_files(imgs)
        assert reference_files(imgs.parent) == reference_files(gts)
        assert set(reference_files(gts)) == {"2DBox_US_0001", "3DBox_CT_0001"}

    def test_no_folder_and_none_in_it(self, folder, tmp_path):
        with pytest.raises(UsageError, match=f"{tmp_path}/gone: no such folder of cases"):
            case_files(tmp_path / "gone")
        with pytest.raises(UsageError, match=r"holds no \.npz file. Give the folder that holds the references"):
            reference_files(folder)


class TestLoading:
    def test_what_is_known_of_a_case(self, cases):
        plane, volume = load_cases(cases[0], PROTOCOL)
        assert (plane.name, plane.task, plane.image_shape, plane.boxes) == ("2DBox_US_0001", "US", (24, 24, 3), 2)
        assert (volume.name, volume.task, volume.image_shape) == ("3DBox_CT_0001", "CT", (6, 24, 24))
        assert plane.path.is_absolute()
        assert plane.digest == module.file_digest(plane.path)
        assert plane.bytes == plane.path.stat().st_size
        assert plane.hidden_keys == ()

    @pytest.mark.parametrize(
        ("arrays", "fault"),
        [
            ({"imgs": np.zeros((24, 24), np.uint8)}, "imgs has shape (24, 24)"),
            ({"imgs": np.zeros((24, 24, 3), np.float32)}, "dtype float32, not uint8"),
            ({"boxes": np.array([[0, 0, 25, 10]])}, "outside the image"),
            ({"boxes": np.array([[5, 5, 5, 10]])}, "minimum is not below its maximum"),
            ({"boxes": np.zeros((0, 4))}, "boxes is empty"),
        ],
    )
    def test_errors_name_file_fault_and_remedy(self, folder, arrays, fault):
        path = write_case(folder, "2DBox_US_0001", **arrays)
        with pytest.raises(InputError, match=re.escape(fault)) as caught:
            load_cases(folder, PROTOCOL)
        assert caught.value.path == path
        assert "A case holds imgs" in str(caught.value)

    def test_truncated_and_foreign_files(self, folder):
        path = write_case(folder, "2DBox_US_0001")
        path.write_bytes(path.read_bytes()[:200])
        with pytest.raises(InputError, match=f"{path}: it is not a whole npz file"):
            load_cases(folder, PROTOCOL)
        path.write_text("hello")
        with pytest.raises(InputError, match="it is not an npz file"):
            load_cases(folder, PROTOCOL)

    def test_a_pickled_case_is_never_loaded(self, folder):
        np.savez(folder / "2DBox_US_0001.npz", imgs=np.array([{}], dtype=object), boxes=np.zeros((1, 4)))
        with pytest.raises(InputError, match="holds pickled objects"):
            load_cases(folder, PROTOCOL)

    def test_every_broken_case_is_named_in_the_one_error(self, folder):
        write_case(folder, "2DBox_US_0001")
        for number in (2, 3, 4):
            (folder / f"2DBox_US_000{number}.npz").write_text("hello")
        with pytest.raises(InputError) as caught:
            load_cases(folder, PROTOCOL)
        text = str(caught.value)
        assert all(f"2DBox_US_000{number}.npz" in text for number in (2, 3, 4))
        assert "2 more" in text

    def test_oddities_and_hidden_keys_are_told(self, folder):
        write_case(folder, "2DBox_US_0001", gts=labels("2D"), meta=np.zeros(2))
        write_case(folder, "3DBox_CT_0001", boxes=np.array([[2, 2, 1, 10, 10, 1]]))
        told: list[str] = []
        plane, _ = load_cases(folder, PROTOCOL, tell=told.append)
        assert set(plane.hidden_keys) == {"gts", "meta"}
        assert any("3DBox_CT_0001: 1 of 1 boxes have z_min = z_max" in text for text in told)
        assert any("left out of the cases: gts, meta" in text for text in told)


class TestRemembering:
    @pytest.fixture
    def reads(self, monkeypatch):
        """Names of the case files that were checked."""
        found: list[str] = []
        check = contract.check_case
        monkeypatch.setattr(contract, "check_case", lambda path: (found.append(Path(path).stem), check(path))[1])
        return found

    def test_unchanged_files_are_not_read_again(self, cases, ledger, reads):
        first = load_cases(cases[0], PROTOCOL, ledger)
        assert len(reads) == 2
        assert load_cases(cases[0], PROTOCOL, ledger) == first
        assert len(reads) == 2
        write_case(cases[0], "2DBox_US_0001", boxes=np.array([[1, 1, 3, 3]]))
        changed = load_cases(cases[0], PROTOCOL, ledger)
        assert reads[2:] == ["2DBox_US_0001"]
        assert changed[0].digest != first[0].digest
        assert changed[1] == first[1]

    def test_warnings_are_told_each_time(self, folder, ledger):
        write_case(folder, "2DBox_US_0001", gts=labels("2D"))
        for _ in range(2):
            told: list[str] = []
            load_cases(folder, PROTOCOL, ledger, told.append)
            assert len(told) == 1

    def test_a_broken_file_is_not_remembered_as_good(self, folder, ledger):
        path = folder / "2DBox_US_0001.npz"
        path.write_text("hello")
        for _ in range(2):
            with pytest.raises(InputError):
                load_cases(folder, PROTOCOL, ledger)
        path.unlink()
        write_case(folder, "2DBox_US_0001")
        assert len(load_cases(folder, PROTOCOL, ledger)) == 1

    def test_a_file_changed_while_it_was_read_is_not_remembered(self, folder, ledger, monkeypatch):
        write_case(folder, "2DBox_US_0001")
        check = contract.check_case

        def slow(path):
            found = check(path)
            write_case(folder, "2DBox_US_0001", boxes=np.array([[1, 1, 3, 3]]))
            return found

        with monkeypatch.context() as patch:
            patch.setattr(contract, "check_case", slow)
            load_cases(folder, PROTOCOL, ledger)
        assert load_cases(folder, PROTOCOL, ledger)[0].boxes == 1

    def test_digests(self, folder, ledger):
        path = folder / "x"
        path.write_bytes(b"1")
        first = remember_digest(path, ledger)
        assert first == remember_digest(path, ledger) == module.file_digest(path)
        path.write_bytes(b"22")
        assert remember_digest(path, ledger) != first


class TestVisible:
    def load(self, folder, **more):
        write_case(folder, "2DBox_US_0001", **more)
        return load_cases(folder, PROTOCOL)[0]

    def test_a_plain_case_is_the_organizers_own_file(self, folder, tmp_path):
        found = self.load(folder)
        assert visible_file(found, tmp_path) == found.path

    @pytest.mark.parametrize("name", ["2DBox_US_0001", "3DBox_CT_0001"])
    def test_hidden_keys_are_removed_and_the_rest_stays(self, folder, tmp_path, name):
        write_case(folder, name, gts=labels(name), other=np.zeros(3))
        found = load_cases(folder, PROTOCOL)[0]
        shown = visible_file(found, tmp_path)
        with np.load(shown, allow_pickle=False) as made, np.load(found.path, allow_pickle=False) as source:
            wanted = {"imgs", "boxes"} | ({"spacing"} if name.startswith("3D") else set())
            assert set(made.files) == wanted
            for key in wanted:
                np.testing.assert_array_equal(made[key], source[key])
                assert made[key].dtype == source[key].dtype
        assert visible_file(found, tmp_path) == shown

    def test_a_copy_that_a_killed_run_left_is_not_taken_for_a_changed_case(self, folder, tmp_path):
        """The folder of copies outlives a killed run; the case may be mended before the next."""
        old = self.load(folder, gts=labels("2D"))
        visible_file(old, tmp_path)
        new = self.load(folder, gts=labels("2D"), boxes=np.array([[1, 1, 3, 3]]))
        with np.load(visible_file(new, tmp_path)) as made:
            assert made["boxes"].tolist() == [[1, 1, 3, 3]]

    def test_a_case_changed_since_it_was_checked_is_a_fault(self, folder, tmp_path):
        old = self.load(folder, gts=labels("2D"))
        self.load(folder, gts=labels("2D"), boxes=np.array([[1, 1, 3, 3]]))
        with pytest.raises(HarnessFault, match="changed since the run began"):
            visible_file(old, tmp_path)
