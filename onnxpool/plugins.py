"""What other packages add, by entry points in their metadata.

    onnxpool.targets      a runtime: a `onnxpool.targets.Target`
    onnxpool.strategies   how ops are lowered: a dict from op types of the dialect to functions like
                          those of `onnxpool.rewrites.lower.LOWERINGS`; its name is the strategy's
    onnxpool.constructs   pooling that an exporter leaves as an op of its own: a module or object
                          with DOMAIN, OWNER, `applies` and `meaning`, like those of
                          `onnxpool.rewrites.lift.exporters_node.EXPORTERS`

A group is loaded when it is first asked for, in the order of names; what is ours comes first. The
checks are the same for what a plug-in finds and writes.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
from collections.abc import Iterable, Iterator
from typing import Any

from onnxpool.errors import PluginError

TARGETS = "onnxpool.targets"
STRATEGIES = "onnxpool.strategies"
CONSTRUCTS = "onnxpool.constructs"
GROUPS = (TARGETS, STRATEGIES, CONSTRUCTS)


@functools.cache
def found(group: str) -> tuple[importlib.metadata.EntryPoint, ...]:
    """The entry points of a group, not loaded."""
    points = importlib.metadata.entry_points(group=group)
    return tuple(sorted(points, key=lambda point: (point.name, point.value)))


@functools.cache
def loaded(group: str) -> tuple[tuple[str, Any], ...]:
    """The names and objects of a group.

    Raises:
        PluginError: one cannot be loaded, or two have one name.
    """
    points = found(group)
    names = [point.name for point in points]
    for point in points:
        if names.count(point.name) > 1:
            others = " and ".join(in_words(p) for p in points if p.name == point.name)
            raise PluginError(f"{others} have one name; uninstall one of them")
    return tuple((point.name, _load(point)) for point in points)


@contextlib.contextmanager
def calling(group: str, name: str, *expected: type[Exception]) -> Iterator[None]:
    """Name the plug-in whose code fails in here, but for what it may raise.

    Raises:
        PluginError: it fails.
    """
    try:
        yield
    except expected:
        raise
    except Exception as error:
        check(group, name, f"fails ({type(error).__name__}: {error})")


def check(group: str, name: str, problem: str) -> None:
    """Refuse a plug-in with a problem; none is empty.

    Raises:
        PluginError: there is one.
    """
    if problem:
        point = next(point for point in found(group) if point.name == name)
        raise PluginError(f"{in_words(point)} {problem}; mend that package or uninstall it")


def missing(thing: Any, names: Iterable[str]) -> str:
    """What an object has not, as a problem."""
    absent = [name for name in names if not hasattr(thing, name)]
    return f"has no {' and no '.join(absent)}" if absent else ""


def in_words(point: importlib.metadata.EntryPoint) -> str:
    """Such as "the plug-in 'mine' (onnxpool.targets) of mypackage 1.0"."""
    package = point.dist
    of = f" of {package.name} {package.version}" if package else ""
    return f"the plug-in {point.name!r} ({point.group}){of}"


def _load(point: importlib.metadata.EntryPoint) -> Any:
    try:
        return point.load()
    except Exception as error:
        raise PluginError(
            f"{in_words(point)} cannot be loaded ({type(error).__name__}: {error}); mend that "
            "package or uninstall it"
        ) from error
