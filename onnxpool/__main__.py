"""`python -m onnxpool` is the `onnxpool` command."""

from onnxpool.cli.app import main

main()
