"""All nets."""

from tests.nets import classifiers, detectors, retrieval, segmentation, sequences, tokens

NETS = (
    *retrieval.NETS,
    *classifiers.NETS,
    *segmentation.NETS,
    *tokens.NETS,
    *sequences.NETS,
    *detectors.NETS,
)
