"""OpenCV's dnn module, with the engine that the version takes by default."""

import cv2


def version():
    return cv2.__version__


def load(model):
    cv2.setNumThreads(1)
    net = cv2.dnn.readNetFromONNX(model.path)

    def run(*xs):
        for name, x in zip(model.inputs, xs, strict=True):
            net.setInput(x, name)
        return net.forward(model.outputs)

    return run
