"""Where `onnxpool` starts: Ctrl-C while it is still being loaded ends it, and prints nothing."""

from __future__ import annotations

import signal


def main() -> None:
    """Run the command line."""
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    from onnxpool.cli.app import main as run

    signal.signal(signal.SIGINT, before)
    run()
