"""The corpus that the passes are tested on: torch exports, hand-written graphs and look-alikes.

`CASES` is the whole table; a test parametrises over it and asks `load` for the model:

    model, reference = load(case)
    case.expected               the pools in the model, and `case.lifted`, those no single node does
    case.sample(rng)            an input
    reference(x)                the outputs that the model should have, computed in x's dtype

Models are exported when they are first asked for, once in a test run, and parsed anew for each
caller, who may change them.
"""

from tests.exports.averages import AVERAGES
from tests.exports.case import Case, load, parameters
from tests.exports.export import Export, quiet, through_torchscript
from tests.exports.gems import GEMS
from tests.exports.graph import Graph, HandWritten
from tests.exports.hand_written import HAND_WRITTEN
from tests.exports.look_alikes import LOOK_ALIKES
from tests.exports.maxima import MAXIMA
from tests.exports.modules import Function
from tests.exports.networks import NETWORKS
from tests.exports.spellings import cut, reduced, separable
from tests.exports.torchscript import TORCHSCRIPT

EXPORTS: tuple[Export, ...] = (*AVERAGES, *MAXIMA, *GEMS, *NETWORKS, *TORCHSCRIPT)
CASES: tuple[Case, ...] = (*EXPORTS, *HAND_WRITTEN, *LOOK_ALIKES)

__all__ = [
    "CASES",
    "EXPORTS",
    "HAND_WRITTEN",
    "LOOK_ALIKES",
    "Case",
    "Export",
    "Function",
    "Graph",
    "HandWritten",
    "cut",
    "load",
    "parameters",
    "quiet",
    "reduced",
    "separable",
    "through_torchscript",
]
