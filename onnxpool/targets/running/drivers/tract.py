"""tract, decluttered and optimised, as its Python package runs a model."""

import tract


def version():
    return tract.version()


def load(model):
    runnable = tract.onnx().load(model.path).into_model().into_runnable()
    return lambda *xs: [in_numbers(y).to_numpy() for y in runnable.run(list(xs))]


def in_numbers(tensor):
    """Integers that follow from sizes come out as formulas, which have no type in Python."""
    try:
        tensor.datum_type()
    except tract.TractError:
        return tensor.convert_to(tract.DatumType.I64)
    return tensor
