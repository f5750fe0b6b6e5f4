"""Where `onnxpool` starts: Ctrl-C while it is still being loaded ends it, and prints nothing."""

from __future__ import annotations

import signal

from onnxpool.collecting import collect_rarely


def main() -> None:
    """Run the command line."""
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    collect_rarely()
    from onnxpool.cli.app import main as run

    signal.signal(signal.SIGINT, before)
    run()
