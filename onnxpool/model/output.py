"""Files that appear under their names together, when all of them are complete.

Each is written beside its place, under a name of ours and locked for as long as its process lives,
and then renamed. The lock tells what a killed run left behind, which the next run removes, from
what another run is writing.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from onnxpool.errors import OutputError
from onnxpool.model import file_content

if sys.platform != "win32":
    import fcntl

Progress = Callable[[str, int, int], None]
"""Called while a file is copied, with its name, the bytes copied so far and all bytes."""

_TEMPORARY = re.compile(r"\.onnxpool-[0-9a-f]{32}\.tmp")
_STREAMS = (1, 2)

_NO_FILE = (
    (stat.S_ISDIR, "is a folder, wanted the name of a file"),
    (stat.S_ISCHR, "is a device, wanted the name of a file, or - for standard output"),
    (stat.S_ISBLK, "is a device, wanted the name of a file"),
    (stat.S_ISFIFO, "is a pipe, wanted the name of a file, or - for standard output"),
    (stat.S_ISSOCK, "is a socket, wanted the name of a file"),
)


def destination(path: Path) -> Path:
    """The file that `path` stands for, which a new one may replace: links are followed.

    Raises:
        OutputError: it is a folder, a device, a pipe, a socket or read-only; this run prints to
            it; or it cannot be written.
    """
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        found = None
    except (OSError, ValueError) as error:
        raise _cannot_write(path, error) from error
    real = Path(os.path.realpath(path))
    if found is not None:
        _check_replaceable(path, found)
    elif not real.parent.is_dir():
        raise OutputError(f"{path} cannot be written: there is no folder {real.parent}")
    if not os.access(real.parent, os.W_OK | os.X_OK):
        raise OutputError(f"{path} cannot be written: no file can be made in {real.parent}")
    return real


def _check_replaceable(path: Path, found: os.stat_result) -> None:
    for is_kind, text in _NO_FILE:
        if is_kind(found.st_mode):
            raise OutputError(f"{path} {text}")
    if any(os.path.samestat(found, stream) for stream in _streams()):
        raise OutputError(f"{path} is where the output of this run goes; choose another name")
    # The mode too, because root may write everything.
    if not found.st_mode & 0o222 or not os.access(path, os.W_OK):
        raise OutputError(f"{path} is read-only; choose another name, or make it writable first")


def _streams() -> Iterator[os.stat_result]:
    for descriptor in _STREAMS:
        with contextlib.suppress(OSError):
            yield os.fstat(descriptor)


def _cannot_write(path: Path, error: OSError | ValueError) -> OutputError:
    return OutputError(f"{path} cannot be written: {getattr(error, 'strerror', None) or error}")


class Output:
    """Files to be published together; a context that leaves nothing behind if they are not.

    Raises:
        OutputError: a file cannot be written, within the context.
    """

    def __init__(self) -> None:
        self._files: list[_Pending] = []
        self._folders = contextlib.ExitStack()
        self._created: list[Path] = []
        self._swept: set[Path] = set()
        self._published = False

    def __enter__(self) -> Output:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            file.discard()
        self._folders.close()
        if self._published:
            return
        for path in reversed(self._created):
            with contextlib.suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)

    def write(self, data: bytes | Iterable[bytes], target: Path) -> None:
        with _one_line(target):
            file = self._temporary(target).file
            for chunk in [data] if isinstance(data, bytes) else data:
                file.write(chunk)

    def copy(self, source: Path, target: Path, progress: Progress | None) -> None:
        with _one_line(target):
            self._make_folder(target.parent)
            file = self._temporary(target)
            file_content.copy(
                source,
                file.file,
                lambda done, size: progress(target.name, done, size) if progress else None,
            )

    def link(self, source: Path, target: Path, home: Path) -> None:
        """Give the file `source` a second name.

        Where it cannot have one, `target` becomes a symbolic link, if that stays in `home`, the
        folder of the model: no runtime follows one that leaves it.
        """
        with _one_line(target):
            self._make_folder(target.parent)
            folder = self._folders.enter_context(temporary_folder(target))
            self._files.append(_Link(source, target, home, folder))

    def _make_folder(self, path: Path) -> None:
        for folder in reversed([f for f in (path, *path.parents) if not f.exists()]):
            folder.mkdir()
            self._created.append(folder)

    def _temporary(self, target: Path) -> _Temporary:
        if target.parent not in self._swept:
            sweep(target.parent)
            self._swept.add(target.parent)
        file = _Temporary(target)
        self._files.append(file)
        return file

    def publish(self) -> None:
        for file in self._files:
            with _one_line(file.target):
                file.complete()
        waiting = [*self._files]
        while waiting:
            try:
                self._let_appear(waiting[0])
            except Exception:
                raise
            except BaseException:  # Ctrl-C among others
                # A model of before must not be left with other weights: what has begun is ended.
                if len(waiting) == len(self._files) and not waiting[0].has_appeared:
                    raise
                continue
            waiting.pop(0)
        self._published = True

    def _let_appear(self, file: _Pending) -> None:
        with _one_line(file.target):
            if file.replaces is None:
                self._created.append(file.target)
            if not file.has_appeared:
                file.publish()


@contextlib.contextmanager
def _one_line(target: Path) -> Iterator[None]:
    try:
        yield
    except file_content.FileChanged as error:
        raise OutputError(f"{error.strerror}; try again once it is complete") from error
    except OSError as error:
        raise _cannot_write(target, error) from error


class _Pending(Protocol):
    """What is to appear at `target`, in the place of what `replaces` is the entry of."""

    target: Path
    replaces: os.stat_result | None

    def complete(self) -> None:
        """Do all that may fail."""

    def publish(self) -> None:
        """Let it appear."""

    @property
    def has_appeared(self) -> bool:
        """Whether it has."""

    def discard(self) -> None:
        """Leave nothing behind of what was not published."""


class _Link:
    """A second name of a file, in a folder of ours."""

    def __init__(self, source: Path, target: Path, home: Path, folder: Path) -> None:
        self.target = target
        self.replaces = _entry(target)
        self._path = folder / "link"
        real, home, place = (Path(os.path.realpath(p)) for p in (source, home, target.parent))
        try:
            # Of the file itself: what is a name of a link differs from system to system.
            self._path.hardlink_to(real)
        except OSError as error:
            if not real.is_relative_to(home):
                raise OutputError(
                    f"{source} cannot have the name {target} too ({error.strerror}), and no "
                    "runtime follows a symbolic link out of the folder; take --weights copy"
                ) from error
            self._path.symlink_to(os.path.relpath(real, place))

    def complete(self) -> None:
        pass

    def publish(self) -> None:
        self._path.replace(self.target)

    @property
    def has_appeared(self) -> bool:
        return not os.path.lexists(self._path)

    def discard(self) -> None:
        pass  # It goes with its folder.


class _Temporary:
    """A file being written, beside the place where it is to be.

    Attributes:
        file: open for writing, and locked.
        replaces: what is at the place now; None where nothing is.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        # Not through a link: an entry that leads elsewhere is replaced, not followed.
        self.replaces = _entry(target)
        self._path, self.file = _create(target.parent, private=self.replaces is not None)

    def complete(self) -> None:
        """Write what is buffered; take over owner, extended attributes and mode."""
        self.file.flush()
        if self.replaces is not None and stat.S_ISREG(self.replaces.st_mode):
            _take_over(self.target, self.replaces, self._path)

    def publish(self) -> None:
        if sys.platform == "win32":
            self.file.close()
        self._path.replace(self.target)

    @property
    def has_appeared(self) -> bool:
        return not self._path.exists()

    def discard(self) -> None:
        """Remove what was not published, and give up the lock."""
        # What is still buffered, on a full disk, is to be lost here.
        with contextlib.suppress(OSError):
            self.file.close()
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)


def _entry(path: Path) -> os.stat_result | None:
    return path.lstat() if os.path.lexists(path) else None


def _create(folder: Path, *, private: bool) -> tuple[Path, BinaryIO]:
    """A new file of ours in `folder`, locked; for the eyes of others only where it may be."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    while True:
        path = folder / _temporary_name()
        file = os.fdopen(os.open(path, flags, 0o600 if private else 0o666), "wb")
        _lock(file.fileno(), wait=True)
        if os.fstat(file.fileno()).st_nlink:
            return path, file
        # Another run took it for dead before it was locked.
        file.close()


def _temporary_name() -> str:
    return f".onnxpool-{uuid.uuid4().hex}.tmp"


def _take_over(target: Path, old: os.stat_result, new: Path) -> None:
    """Give `new` what belongs to the file at `target` and not to its content."""
    if sys.platform != "win32":
        made = new.stat()
        if (made.st_uid, made.st_gid) != (old.st_uid, old.st_gid):
            try:
                os.chown(new, old.st_uid, old.st_gid)
            except PermissionError as error:
                raise OutputError(
                    f"{target} belongs to another user or group, and a new file would not; choose "
                    "another name, or remove it first"
                ) from error
    if sys.platform == "linux":
        _take_over_attributes(target, new)
    new.chmod(stat.S_IMODE(old.st_mode))


def _take_over_attributes(target: Path, new: Path) -> None:
    try:
        wanted, found = os.listxattr(target), os.listxattr(new)
    except OSError:  # a file system that has none
        return
    for name in wanted:
        value = os.getxattr(target, name)
        if name in found and os.getxattr(new, name) == value:
            continue
        try:
            os.setxattr(new, name, value)
        except PermissionError:
            # Labels of the system, which it gives to new files itself.
            if not name.startswith(("security.", "trusted.")):
                raise
    for name in set(found) - set(wanted):  # such as an access list that the folder passes on
        with contextlib.suppress(OSError):
            os.removexattr(new, name)


@contextlib.contextmanager
def temporary_folder(beside: Path) -> Iterator[Path]:
    """A folder of ours in the folder of `beside`, for what comes before it.

    Raises:
        OutputError: none can be made there.
    """
    sweep(beside.parent)
    folder = beside.parent / _temporary_name()
    with _one_line(beside):
        folder.mkdir()
    descriptor = None if sys.platform == "win32" else os.open(folder, os.O_RDONLY)
    try:
        if descriptor is not None:
            _lock(descriptor, wait=True)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if descriptor is not None:
            os.close(descriptor)


def sweep(folder: Path) -> None:
    """Remove what killed runs left in `folder`: what has a name of ours and is held by nobody."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            if _TEMPORARY.fullmatch(entry.name) and not entry.is_symlink():
                with contextlib.suppress(OSError):
                    _remove_if_dead(Path(entry.path))


def _remove_if_dead(path: Path) -> None:
    if sys.platform == "win32":
        _remove(path)  # fails where it is open
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if _lock(descriptor, wait=False) and os.path.samestat(os.fstat(descriptor), path.lstat()):
            _remove(path)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    elif path.is_file():
        path.unlink()


def _lock(descriptor: int, *, wait: bool) -> bool:
    """Take the lock of a file; False where another holds it, or the file system has no locks."""
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True
