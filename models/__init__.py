"""PyTorch sources of the pooling constructs, as published, one family per file."""
