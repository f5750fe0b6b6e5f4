"""The one error of lowering."""


class Unsupported(Exception):
    """Why a dialect node cannot be lowered, in one line."""
