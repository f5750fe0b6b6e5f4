"""What each test begins with."""

import pytest
import torch

from onnxpool.cli.call import call

# pytest-xdist already runs one process per core.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _a_call_of_its_own() -> None:
    """What a call of the command line in this process left, such as --quiet, is forgotten."""
    call.begin()
