"""`python -m onnxpool` is the `onnxpool` command."""

from onnxpool.cli.app import main

if __name__ == "__main__":
    main()
