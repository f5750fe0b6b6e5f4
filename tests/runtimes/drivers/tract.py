"""tract, decluttered and optimised, as its Python package runs a model."""

import tract


def version():
    return tract.version()


def load(model):
    runnable = tract.onnx().load(model.path).into_model().into_runnable()
    return lambda x: [y.to_numpy() for y in runnable.run([x])]
