"""All nets."""

from tests.nets import classifiers, detectors, retrieval, segmentation, tokens

NETS = (
    *retrieval.NETS,
    *classifiers.NETS,
    *segmentation.NETS,
    *tokens.NETS,
    *detectors.NETS,
)
