"""Files that appear together: what a killed run left goes, what another run writes stays."""

import contextlib
import os
from pathlib import Path

import pytest

from onnxpool.errors import OutputError
from onnxpool.model import output
from onnxpool.model.output import Output, sweep, temporary_folder

DEAD = f".onnxpool-{'0123456789abcdef' * 2}.tmp"


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_sweep_takes_only_what_is_ours_and_held_by_nobody(tmp_path: Path) -> None:
    kept = {".onnxpool-notes.tmp", f"{DEAD}.onnx", DEAD.upper(), "model.tmp"}
    for name in (*kept, DEAD):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "mine").write_bytes(b"mine")
    link, folder = (DEAD.replace("0", digit) for digit in "af")
    (tmp_path / link).symlink_to("mine")
    (tmp_path / folder / "sub").mkdir(parents=True)
    with Output() as writing, temporary_folder(tmp_path / "x") as alive:
        writing.write(b"data", tmp_path / "out")
        (running,) = names(tmp_path) - kept - {DEAD, "mine", link, folder, alive.name}
        sweep(tmp_path)
        assert names(tmp_path) == kept | {"mine", link, running, alive.name}
        writing.publish()
    assert names(tmp_path) == kept | {"mine", link, "out"}
    assert (tmp_path / "out").read_bytes() == b"data"


def test_a_file_that_a_sweep_took_before_it_was_locked_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = output._lock
    swept: list[bool] = []

    def sweep_first(descriptor: int, *, wait: bool) -> bool:
        if wait and not swept:
            swept.append(True)
            sweep(tmp_path)
        return lock(descriptor, wait=wait)

    monkeypatch.setattr(output, "_lock", sweep_first)
    with Output() as writing:
        writing.write(b"data", tmp_path / "out")
        writing.publish()
    assert swept
    assert names(tmp_path) == {"out"}
    assert (tmp_path / "out").read_bytes() == b"data"


def test_a_folder_that_a_killed_run_left_is_swept(tmp_path: Path) -> None:
    (tmp_path / DEAD).mkdir()
    (tmp_path / DEAD / "part.onnx").write_bytes(b"x")
    with Output() as writing:
        writing.write(b"", tmp_path / "out")
    assert names(tmp_path) == set()


def test_a_file_of_another_is_not_replaced_by_one_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").write_bytes(b"theirs")
    found = (tmp_path / "out").lstat()
    theirs = os.stat_result([*found[:4], 12345, *found[5:]])

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "lstat", lambda _: theirs)
    monkeypatch.setattr(os, "chown", refuse)
    with Output() as writing:
        writing.write(b"ours", tmp_path / "out")
        with pytest.raises(OutputError, match="belongs to another"):
            writing.publish()
    monkeypatch.undo()
    assert names(tmp_path) == {"out"}
    assert (tmp_path / "out").read_bytes() == b"theirs"


def test_what_a_folder_passes_on_is_not_added_to_a_file_that_had_it_not(tmp_path: Path) -> None:
    """An access list by default of the folder; the file from before has none."""
    (tmp_path / "out").write_bytes(b"old")
    entries = ((1, 7, -1), (2, 7, 1234), (4, 0, -1), (16, 7, -1), (32, 0, -1))
    access = b"\x02\0\0\0" + b"".join(
        tag.to_bytes(2, "little")
        + mode.to_bytes(2, "little")
        + (who & 0xFFFFFFFF).to_bytes(4, "little")
        for tag, mode, who in entries
    )
    try:
        os.setxattr(tmp_path, "system.posix_acl_default", access)
    except OSError:
        pytest.skip("the file system has no access lists")
    (tmp_path / "new").write_bytes(b"")
    assert os.listxattr(tmp_path / "new") == ["system.posix_acl_access"]
    with Output() as writing:
        writing.write(b"data", tmp_path / "out")
        writing.publish()
    assert os.listxattr(tmp_path / "out") == []


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", [0, 1])
def test_ctrl_c_between_two_renames_leaves_no_mixture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, late: bool
) -> None:
    """Of an older model and its data both are replaced, or none is."""
    for name in ("weights", "model"):
        (tmp_path / name).write_bytes(b"old")
    calls = []
    replace = Path.replace

    def interrupted(path: Path, target: Path) -> None:
        calls.append(target)
        if late:
            replace(path, target)
        if len(calls) == number + 1:
            raise KeyboardInterrupt
        if not late:
            replace(path, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    stopped = number == 0 and not late
    with Output() as writing:
        for name in ("weights", "model"):
            writing.write(b"new", tmp_path / name)
        with pytest.raises(KeyboardInterrupt) if stopped else contextlib.nullcontext():
            writing.publish()
    found = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert found == dict.fromkeys(("weights", "model"), b"old" if stopped else b"new")
