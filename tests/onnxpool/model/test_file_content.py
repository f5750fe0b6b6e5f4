"""A copy holds what its source holds, holes and time included; what tells two files apart."""

import os
from pathlib import Path

import numpy as np
import pytest

from onnxpool.model import file_content
from onnxpool.model.file_content import FileChanged, is_same

SPARSE = 1 << 30
CHUNK = np.random.default_rng(0).bytes(70_000)


def copy(source: Path, target: Path) -> list[tuple[int, int]]:
    told: list[tuple[int, int]] = []
    with target.open("wb") as writer:
        file_content.copy(source, writer, lambda *numbers: told.append(numbers))
    return told


@pytest.mark.parametrize("places", [(), (0,), (3 << 20,), (0, 500 << 20, SPARSE - len(CHUNK))])
def test_holes_stay_holes(tmp_path: Path, places: tuple[int, ...]) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    with source.open("wb") as file:
        for place in places:
            file.seek(place)
            file.write(CHUNK)
        file.truncate(SPARSE)
    told = copy(source, target)
    assert told[-1] == (SPARSE, SPARSE)
    assert target.stat().st_size == SPARSE
    assert target.stat().st_mtime_ns == source.stat().st_mtime_ns
    with source.open("rb") as a, target.open("rb") as b:
        for start in (0, *places):
            a.seek(max(0, start - 10))
            b.seek(max(0, start - 10))
            assert a.read(len(CHUNK) + 20) == b.read(len(CHUNK) + 20)
    if source.stat().st_blocks * 512 < SPARSE // 2:  # else the file system has no holes
        assert target.stat().st_blocks * 512 < (len(places) + 1) << 20


def test_where_holes_are_not_told_all_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "SEEK_DATA", raising=False)
    monkeypatch.setattr(file_content, "_CHUNK", 1000)
    (tmp_path / "a").write_bytes(CHUNK)
    assert len(copy(tmp_path / "a", tmp_path / "b")) == 70
    assert (tmp_path / "b").read_bytes() == CHUNK


def test_a_file_that_changes_meanwhile_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(CHUNK)

    def grow(*_: int) -> None:
        with (tmp_path / "a").open("ab") as file:
            file.write(b"more")

    with (tmp_path / "b").open("wb") as writer, pytest.raises(FileChanged, match="changed while"):
        file_content.copy(tmp_path / "a", writer, grow)


def test_what_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(CHUNK)
    b.write_bytes(CHUNK[:-1] + b"?")
    for times in (123456789, 5_000_000_000):
        os.utime(a, ns=(times, times))
        os.utime(b, ns=(times, times))
        assert not is_same(a, b)  # Small files are read, whatever their times are.
    monkeypatch.setattr(file_content, "_COMPARED", 1000)
    assert not is_same(a, b)  # A time in whole seconds says nothing.
    os.utime(a, ns=(123456789, 123456789))
    os.utime(b, ns=(123456789, 123456789))
    assert is_same(a, b)
    os.utime(b, ns=(123456788, 123456788))
    assert not is_same(a, b)
    b.write_bytes(CHUNK)
    assert is_same(a, b)
    b.write_bytes(CHUNK[1:])
    assert not is_same(a, b)
    (tmp_path / "c").hardlink_to(a)
    assert is_same(a, tmp_path / "c")
