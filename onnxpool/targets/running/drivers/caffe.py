"""A net of Caffe's in OpenCV 4: model.prototxt and model.caffemodel, beside model.onnx."""

import cv2


def version():
    return cv2.__version__


def load(model):
    cv2.setNumThreads(1)
    stem = model.path.removesuffix(".onnx")
    net = cv2.dnn.readNetFromCaffe(f"{stem}.prototxt", f"{stem}.caffemodel")

    def run(*xs):
        for name, x in zip(model.inputs, xs, strict=True):
            net.setInput(x, name)
        return net.forward(model.outputs)

    return run
