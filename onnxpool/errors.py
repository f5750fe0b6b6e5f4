"""Everything that onnxpool raises on purpose.

    OnnxpoolError               one line for the user; the command line prints it and exits 2
    ├── ModelError              the input is not a model that can be used
    │   └── NoOpsetError        it does not say which opset its ops are of
    ├── ExternalDataError       weights outside the model file are missing or not allowed
    ├── OutputError             the result cannot be written
    ├── ArgumentError           an option or argument does not fit
    ├── SourceError             the PyTorch source cannot be loaded, or does not fit the model
    ├── ExportError             torch cannot export the module
    ├── LibraryError            the custom-op library is missing, or the runtime refuses it
    ├── PluginError             what another package adds cannot be used
    ├── CheckError              a rewritten region differs from its reference; exit 1
    └── TargetError             the target or the opset asked for does not take the model; exit 1

Each message says which file, node or argument, what was found, what was wanted and what to do.
"""

from collections.abc import Iterable


class OnnxpoolError(Exception):
    exit_status = 2


class ModelError(OnnxpoolError):
    pass


class NoOpsetError(ModelError):
    pass


class ExternalDataError(OnnxpoolError):
    pass


class OutputError(OnnxpoolError):
    pass


class ArgumentError(OnnxpoolError):
    pass


class SourceError(OnnxpoolError):
    pass


class ExportError(OnnxpoolError):
    pass


class LibraryError(OnnxpoolError):
    pass


class PluginError(OnnxpoolError):
    pass


class CheckError(OnnxpoolError):
    exit_status = 1


class TargetError(OnnxpoolError):
    exit_status = 1


def check_choice(name: str, value: str, choices: Iterable[str]) -> None:
    """Check an argument that takes one of a few words.

    Raises:
        ArgumentError: it is none of `choices`.
    """
    if value not in choices:
        raise ArgumentError(f"unknown {name} {value!r}; use {' or '.join(choices)}")
