"""Where a model may be written, seen from outside: what is in the way stays as it is."""

import os
import signal
import socket
import stat
import subprocess
import time
from pathlib import Path

import onnx
import pytest

from tests.onnxpool.cli.conftest import (
    COMMAND,
    PYRAMID,
    Shell,
    check_one_line,
    environment,
    files,
    relu,
)

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices and gives away")


def rewritten(path: Path) -> bool:
    return "GatherND" not in {node.op_type for node in onnx.load(path).graph.node}


@as_root
def test_a_device_is_refused_and_stays(shell: Shell, tmp_path: Path) -> None:
    device = tmp_path / "null"
    os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    check_one_line(shell("rewrite", PYRAMID, device), 2, "is a device", str(device))
    check_one_line(shell("rewrite", PYRAMID, "out.onnx", "--json", device), 2, "is a device")
    assert stat.S_ISCHR(device.stat().st_mode)
    assert files(tmp_path) == ["null"]


def test_the_null_device_is_refused(shell: Shell) -> None:
    check_one_line(shell("rewrite", PYRAMID, "/dev/null"), 2, "/dev/null is a device")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_a_device_is_no_model(shell: Shell) -> None:
    check_one_line(shell("inspect", "/dev/zero"), 2, "/dev/zero is a device")


def test_pipes_and_sockets_are_refused(shell: Shell, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        check_one_line(shell("rewrite", PYRAMID, "socket"), 2, "is a socket")
    check_one_line(shell("rewrite", PYRAMID, "pipe"), 2, "is a pipe")
    assert files(tmp_path) == ["pipe", "socket"]
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_folders_are_refused(shell: Shell, tmp_path: Path) -> None:
    check_one_line(shell("rewrite", PYRAMID, tmp_path), 2, "is a folder")
    check_one_line(shell("rewrite", PYRAMID, "out.onnx", "--json", tmp_path), 2, "is a folder")
    assert files(tmp_path) == []


def test_a_read_only_file_is_refused(shell: Shell, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    out.write_bytes(b"mine")
    out.chmod(0o444)
    check_one_line(shell("rewrite", PYRAMID, out), 2, "is read-only")
    check_one_line(shell("rewrite", PYRAMID, "new.onnx", "--json", out), 2, "is read-only")
    assert out.read_bytes() == b"mine"
    assert files(tmp_path) == ["out.onnx"]


def test_a_link_is_followed(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "old.onnx").write_bytes(b"old")
    (tmp_path / "out.onnx").symlink_to("far/old.onnx")
    (tmp_path / "new.onnx").symlink_to("far/new.onnx")
    for name in ("out.onnx", "new.onnx"):
        assert shell("rewrite", PYRAMID, name).returncode == 0
        assert (tmp_path / name).is_symlink()
    assert files(tmp_path / "far") == ["new.onnx", "old.onnx"]
    assert all(rewritten(path) for path in (tmp_path / "far").iterdir())


def test_links_that_lead_nowhere_are_refused(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    (tmp_path / "gone").symlink_to("no/such/out.onnx")
    check_one_line(shell("rewrite", PYRAMID, "a"), 2, "symbolic links")
    check_one_line(shell("rewrite", PYRAMID, "gone"), 2, "no folder")
    assert files(tmp_path) == ["a", "b", "gone"]


def test_mode_and_attributes_of_a_replaced_file_stay(shell: Shell, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    out.write_bytes(b"old")
    out.chmod(0o604)
    try:
        os.setxattr(out, "user.note", b"keep")
    except OSError:
        pytest.skip("the file system has no extended attributes")
    assert shell("rewrite", PYRAMID, out).returncode == 0
    assert rewritten(out)
    assert stat.S_IMODE(out.stat().st_mode) == 0o604
    assert os.getxattr(out, "user.note") == b"keep"


@as_root
def test_the_owner_of_a_replaced_file_stays(shell: Shell, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    out.write_bytes(b"old")
    os.chown(out, 1234, 2345)
    out.chmod(0o4750)
    assert shell("rewrite", PYRAMID, out).returncode == 0
    found = out.stat()
    assert rewritten(out)
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (1234, 2345, 0o4750)


def test_a_new_file_has_the_mode_of_the_umask(shell: Shell, tmp_path: Path) -> None:
    assert shell("rewrite", PYRAMID, "out.onnx", umask=0o027).returncode == 0
    assert stat.S_IMODE((tmp_path / "out.onnx").stat().st_mode) == 0o640


@pytest.mark.parametrize("length", [300, 5000])
def test_names_that_are_too_long(shell: Shell, tmp_path: Path, length: int) -> None:
    name = f"{'n' * length}.onnx"
    for arguments in (
        ("rewrite", PYRAMID, name),
        ("rewrite", name, "out.onnx"),
        ("inspect", name),
        ("rewrite", PYRAMID, "out.onnx", "--json", name),
        ("rewrite", PYRAMID, PYRAMID.with_name("gem.onnx"), name),
    ):
        check_one_line(shell(*arguments), 2, "too long")
    assert files(tmp_path) == []


def test_the_longest_name_is_taken(shell: Shell, tmp_path: Path) -> None:
    name = f"{'n' * 250}.onnx"
    assert shell("rewrite", PYRAMID, name).returncode == 0
    assert files(tmp_path) == [name]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("in.onnx", "out.onnx", "--json", "in.onnx"), "would overwrite in.onnx"),
        (("in.onnx", "out.onnx", "--json", "out.onnx"), "would overwrite out.onnx"),
        (("in.onnx", "out.onnx", "--json", "no/report.json"), "no folder"),
        (("in.onnx", "-", "--json", "-"), "standard output"),
        (("in.onnx", "out.onnx", "--seed", "-1"), "--seed"),
        (("in.onnx", "out.onnx", "--opset", "0"), "--opset"),
        (("in.onnx", "out.onnx", "--opset", "999"), "999"),
        (("in.onnx", "out.onnx", "--weights", "w.pt"), "--reference"),
        (("in.onnx", "out.onnx", "--input-shape", "X"), "--input-shape"),
        (("in.onnx", "out.onnx", "--jobs", "0"), "--jobs"),
        (("in.onnx", "out.onnx", "--fail-on", "never mind"), "--fail-on"),
        (("in.onnx", "in.onnx", "folder", "--json", "folder"), "same name"),
        (("in.onnx", "-", "folder"), "several"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_arguments_are_checked_before_anything_is_written(
    shell: Shell, tmp_path: Path, arguments: tuple[str, ...], part: str
) -> None:
    (tmp_path / "in.onnx").write_bytes(PYRAMID.read_bytes())
    check_one_line(shell("rewrite", *arguments), 2, part)
    assert files(tmp_path) == ["in.onnx"]
    assert (tmp_path / "in.onnx").read_bytes() == PYRAMID.read_bytes()


def test_output_does_not_replace_the_file_that_the_shell_writes(
    shell: Shell, tmp_path: Path
) -> None:
    for name in (tmp_path / "out.onnx", "/dev/stdout"):
        with (tmp_path / "out.onnx").open("wb") as stdout:
            check_one_line(shell("rewrite", PYRAMID, name, stdout=stdout), 2, "output of this run")
        assert (tmp_path / "out.onnx").read_bytes() == b""


def test_a_model_through_pipes(shell: Shell, tmp_path: Path) -> None:
    assert shell("rewrite", PYRAMID, "out.onnx").returncode == 0
    piped = shell("rewrite", "-", "-", input=PYRAMID.read_bytes())
    assert piped.returncode == 0
    assert piped.stdout == (tmp_path / "out.onnx").read_bytes()
    assert b"PyramidPool" in piped.stderr
    assert b"PyramidPool" in shell("inspect", "-", input=PYRAMID.read_bytes()).stdout
    assert files(tmp_path) == ["out.onnx"]


def test_an_unchanged_model_through_pipes_is_the_same_bytes(shell: Shell) -> None:
    assert shell("rewrite", "-", "-", input=relu()).stdout == relu()


@pytest.mark.parametrize("data", [b"", b"no model"])
def test_what_is_no_model_on_standard_input(shell: Shell, data: bytes) -> None:
    result = shell("rewrite", "-", "-", input=data)
    check_one_line(result, 2)
    assert result.stdout == b""


def test_a_full_disk_below_a_piped_model(shell: Shell) -> None:
    with Path("/dev/full").open("wb") as stdout:
        result = shell("rewrite", PYRAMID, "-", stdout=stdout)
    check_one_line(result, 2, "No space left")


def test_a_file_that_does_not_fit_leaves_what_was_there(shell: Shell, tmp_path: Path) -> None:
    import resource

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    (tmp_path / "out.onnx").write_bytes(b"mine")
    result = shell("rewrite", PYRAMID, "out.onnx", preexec_fn=limit)
    check_one_line(result, 2, "cannot be written", "File too large")
    assert files(tmp_path) == ["out.onnx"]
    assert (tmp_path / "out.onnx").read_bytes() == b"mine"


def test_a_killed_run_is_cleaned_up_by_the_next(shell: Shell, tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    out.mkdir()
    name = "weights.bin"
    model = onnx.parser.parse_model(
        '<ir_version: 9, opset_import: ["" : 17]> g (float[1] x) => (float[1] y) { y = Mul(x, w) }'
    )
    weight = onnx.TensorProto(name="w", data_type=1, dims=[1], data_location="EXTERNAL")
    weight.external_data.add(key="location", value=name)
    model.graph.initializer.append(weight)
    (source / "in.onnx").write_bytes(model.SerializeToString())
    with (source / name).open("wb") as file:
        for _ in range(512):  # Holes would be copied in no time.
            file.write(b"x" * (1 << 20))
    arguments = ["rewrite", source / "in.onnx", out / "out.onnx"]
    process = subprocess.Popen([*COMMAND, *map(str, arguments)], env=environment())
    left: list[Path] = []
    while not left and process.poll() is None:
        time.sleep(0.01)
        left = list(out.iterdir())
    process.kill()
    process.wait()
    assert [path.suffix for path in left] == [".tmp"]
    assert left[0].exists()
    assert shell("rewrite", PYRAMID, out / "other.onnx").returncode == 0
    assert files(out) == ["other.onnx"]


def with_weights(folder: Path) -> None:
    """A model whose weight lies beside it."""
    folder.mkdir()
    model = onnx.parser.parse_model(
        '<ir_version: 9, opset_import: ["" : 17]> g (float[1] x) => (float[1] y) { y = Mul(x, w) }'
    )
    weight = onnx.TensorProto(name="w", data_type=1, dims=[1], data_location="EXTERNAL")
    weight.external_data.add(key="location", value="w.bin")
    model.graph.initializer.append(weight)
    (folder / "in.onnx").write_bytes(model.SerializeToString())
    (folder / "w.bin").write_bytes(b"\0\0\x80\x3f")


@pytest.mark.parametrize(("way", "names"), [("copy", 1), ("link", 2)])
def test_weights_follow_in_a_way_that_is_asked_for(
    shell: Shell, tmp_path: Path, way: str, names: int
) -> None:
    with_weights(tmp_path / "in")
    for many in (("in/in.onnx", "out.onnx"), ("in", "out")):
        assert shell("rewrite", *many, "--weights", way).returncode == 0
    for copy in (tmp_path / "w.bin", tmp_path / "out" / "w.bin"):
        assert copy.read_bytes() == b"\0\0\x80\x3f"
        assert copy.stat().st_nlink == (1 if names == 1 else 3)


def test_weights_that_stay(shell: Shell, tmp_path: Path) -> None:
    with_weights(tmp_path / "in")
    result = shell("rewrite", "in/in.onnx", "out.onnx", "--weights", "reference", "--json", "r")
    assert result.returncode == 0
    assert b"is a copy" not in result.stdout
    assert '"result": "written"' in (tmp_path / "r").read_text()
    assert files(tmp_path) == ["in", "out.onnx", "r"]
    assert shell("inspect", "out.onnx").returncode == 0
    (tmp_path / "other").mkdir()
    refused = shell("rewrite", "in/in.onnx", "other/out.onnx", "--weights", "reference")
    check_one_line(refused, 2, "in/w.bin is not below the folder of other/out.onnx")
    assert files(tmp_path / "other") == []


@pytest.mark.parametrize(
    ("given", "part"),
    [
        (("copy", "link"), "give one of copy, link, reference"),
        (("a.pt", "b.pt"), "one file at most"),
        (("a.pt",), "a file for --reference"),
    ],
)
def test_weights_are_said_once(
    shell: Shell, tmp_path: Path, given: tuple[str, ...], part: str
) -> None:
    options = [word for each in given for word in ("--weights", each)]
    check_one_line(shell("rewrite", PYRAMID, "out.onnx", *options), 2, part)
    check_one_line(shell("rewrite", PYRAMID, "-", "--weights", "copy"), 2, "on standard output")
    assert files(tmp_path) == []
