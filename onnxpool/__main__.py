"""`python -m onnxpool` is the `onnxpool` command."""

from onnxpool.cli.start import main

if __name__ == "__main__":
    main()
