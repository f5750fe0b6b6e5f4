"""TensorFlow 2, Keras and TensorFlow 1 through tf2onnx: python tensorflow_models.py FOLDER.

What networks have of pooling, in channels last: pyramids of strided pools with padding SAME,
generalised means, global pools, bins cut out of a plane or of tokens. The models have an input `x`.
"""

import os
import sys

os.environ |= {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "CUDA_VISIBLE_DEVICES": "",
    "TF_ENABLE_ONEDNN_OPTS": "0",
}

import keras
import numpy as np
import tensorflow as tf
import tf2onnx
from written import Folder

BINS = (1, 2, 3, 6)


def windows(length, bins):
    return [(i * length // bins, -(-(i + 1) * length // bins)) for i in range(bins)]


def bilinear(x, size):
    return tf.compat.v1.image.resize_bilinear(x, size, align_corners=True)


def strided(x, bins):
    """As the ports have it: kernel = stride = round(size / bins), padding SAME."""
    kernel = [round(size / bins) for size in x.shape[1:3]]
    return tf.nn.avg_pool2d(x, kernel, kernel, "SAME")


def adaptive(x, bins, mean=tf.reduce_mean):
    """Bin by bin, as who writes it by hand does."""
    _, height, width, _ = x.shape
    rows = [
        tf.stack([mean(x[:, a:b, c:d], axis=[1, 2]) for c, d in windows(width, bins)], 1)
        for a, b in windows(height, bins)
    ]
    return tf.stack(rows, 1)


class Pyramid:
    def __init__(self, channels, pool=strided):
        rng = np.random.default_rng(1)
        shape = (1, 1, channels, 4)
        self.weights = [rng.standard_normal(shape).astype("float32") for _ in BINS]
        self.pool = pool

    def __call__(self, x):
        levels = [x]
        for bins, weights in zip(BINS, self.weights, strict=True):
            level = tf.nn.relu(tf.nn.conv2d(self.pool(x, bins), weights, 1, "SAME"))
            levels.append(bilinear(level, x.shape[1:3]))
        return tf.concat(levels, -1)


class GeM(keras.layers.Layer):
    """As the notebooks of retrieval have it: a learned exponent, means of both axes."""

    def __init__(self, axes=(1, 2), keepdims=False, p=3.0, **given):
        super().__init__(**given)
        self.axes, self.keepdims, self.start = list(axes), keepdims, p

    def build(self, shape):
        self.p = self.add_weight(
            name="p", shape=(), initializer=keras.initializers.Constant(self.start)
        )

    def call(self, x):
        powers = tf.pow(tf.maximum(x, 1e-6), self.p)
        return tf.pow(tf.reduce_mean(powers, self.axes, self.keepdims), 1.0 / self.p)


def keras_pyramid(shape):
    """Built of Keras's layers, with its AveragePooling2D."""
    x = keras.Input(shape)
    keras.utils.set_random_seed(0)
    levels = [x]
    for bins in BINS:
        kernel = tuple(round(size / bins) for size in shape[:2])
        level = keras.layers.AveragePooling2D(kernel, kernel, "same")(x)
        level = keras.layers.Conv2D(4, 1, use_bias=False)(level)
        level = keras.layers.ReLU()(keras.layers.BatchNormalization()(level))
        levels.append(keras.layers.UpSampling2D(kernel, interpolation="bilinear")(level))
    return keras.Model(x, keras.layers.Concatenate()(levels))


def layers(shape, *stack):
    x = y = keras.Input(shape)
    for layer in stack:
        y = layer(y)
    return keras.Model(x, y)


def splits(x):
    """As tensorflow_addons' AdaptiveAveragePooling2D has it."""
    x = tf.stack(tf.split(x, 3, axis=1), axis=1)
    x = tf.stack(tf.split(x, 4, axis=3), axis=3)
    return tf.reduce_mean(x, axis=[2, 4])


def spatial_pyramid(x):
    """He et al.'s, for a classifier: maxima of bins, all in a row."""
    bins = [adaptive(x, n, tf.reduce_max) for n in (1, 2, 4)]
    return tf.concat([tf.reshape(b, (b.shape[0], -1)) for b in bins], 1)


def strips(x):
    """Strip pooling: means over the height and over the width."""
    return x + tf.reduce_mean(x, 1, keepdims=True) + tf.reduce_mean(x, 2, keepdims=True)


def squeeze_excite(x):
    return x * tf.sigmoid(tf.reduce_mean(x, [1, 2], keepdims=True))


def volume(x):
    """Two bins of each of three axes."""
    halves = [windows(size, 2) for size in x.shape[1:4]]
    bins = [
        tf.reduce_mean(x[:, a:b, c:d, e:f], [1, 2, 3])
        for a, b in halves[0]
        for c, d in halves[1]
        for e, f in halves[2]
    ]
    return tf.reshape(tf.stack(bins, 1), (-1, 2, 2, 2, x.shape[-1]))


def generalised_mean(x):
    powers = tf.pow(tf.maximum(x, 1e-6), 3.0)
    return tf.pow(tf.reduce_mean(powers, [1, 2]), 1 / 3)


def tokens(x):
    """Bins of a sequence, (N, T, C)."""
    return tf.stack([tf.reduce_mean(x[:, a:b], 1) for a, b in windows(x.shape[1], 7)], 1)


def write(folder, name, says, pools, source, shape, shapes=None, restored=None):
    """One model of TensorFlow 2.

    Args:
        source: what is exported, a function or a Keras model.
        shape: of the input, None for what is open.
        shapes: of the pairs, where some of `shape` is open.
        restored: the same source with adaptive pooling.
    """
    function = tf.function(lambda x: source(x))
    signature = [tf.TensorSpec(shape, tf.float32, name="x")]
    model, _ = tf2onnx.convert.from_function(function, signature, opset=17)
    runs = {"npz": lambda x: [source(tf.constant(x)).numpy()]}
    if restored:
        runs["restored.npz"] = lambda x: [restored(tf.constant(x)).numpy()]
    folder.model(name, says, pools, model, runs, shapes or [shape] * 2)


def write_graph(folder, name, says, pools, source, shape, restored=None):
    """One model of TensorFlow 1: a frozen graph, run in a session."""
    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder(tf.float32, shape, name="x")
        y = tf.identity(source(x), name="y")
        wanted = tf.identity(restored(x)) if restored else None
    model, _ = tf2onnx.convert.from_graph_def(
        graph.as_graph_def(), input_names=["x:0"], output_names=["y:0"], opset=11
    )

    def run(tensor):
        def of(value):
            with tf.compat.v1.Session(graph=graph) as session:
                return [session.run(tensor, {x: value})]

        return of

    runs = {"npz": run(y), **({"restored.npz": run(wanted)} if restored else {})}
    folder.model(name, says, pools, model, runs, [shape] * 2)


PLANE, LINE, VOLUME = (13, 17, 8), (49, 8), (5, 6, 7, 4)
OPEN = (None, None, 8)
OPEN_SHAPES = [(1, 13, 17, 8), (3, 7, 5, 8), (2, 24, 1, 8)]


def models():
    """Name, what it is, pools, source and shape without batch."""
    k = keras.layers
    yield "gem", "Keras: GeM", 1, layers(PLANE, GeM()), PLANE
    behind = layers(PLANE, k.Conv2D(8, 3), GeM(p=2.87))
    yield "gem_conv", "Keras: GeM behind Conv2D, p = 2.87", 1, behind, PLANE
    yield "gem_open", "Keras: GeM, open sizes", 1, layers(OPEN, GeM(keepdims=True)), OPEN
    yield "gem_tokens", "Keras: GeM of tokens", 1, layers(LINE, GeM((1,))), LINE
    average = layers(PLANE, k.GlobalAveragePooling2D())
    yield "global_average", "Keras: GlobalAveragePooling2D", 1, average, PLANE
    maximum = layers(OPEN, k.GlobalMaxPooling2D())
    yield "global_max", "Keras: GlobalMaxPooling2D, open sizes", 1, maximum, OPEN
    average = layers(VOLUME, k.GlobalAveragePooling3D())
    yield "global_3d", "Keras: GlobalAveragePooling3D", 1, average, VOLUME
    average = layers(LINE, k.GlobalAveragePooling1D())
    yield "global_tokens", "Keras: GlobalAveragePooling1D", 1, average, LINE
    keras_plane = (36, 48, 8)
    yield "keras_pyramid", "Keras: pyramid, 36x48", 4, keras_pyramid(keras_plane), keras_plane
    yield "pyramid_bins", "pyramid, bin by bin, 33x41", 4, Pyramid(8, adaptive), (33, 41, 8)
    yield "splits", "stacked splits, 12x20 to 3x4", 1, splits, (12, 20, 8)
    yield "bins", "bin by bin, 13x17 to 5x5", 1, lambda x: adaptive(x, 5), PLANE
    yield "spatial_pyramid", "spatial pyramid of maxima", 3, spatial_pyramid, PLANE
    yield "strips", "strip pooling", 2, strips, PLANE
    yield "squeeze_excite", "squeeze and excite", 1, squeeze_excite, PLANE
    yield "volume", "bin by bin, 5x6x7 to 2x2x2", 1, volume, VOLUME
    yield "tokens", "tokens, 49 to 7", 1, tokens, LINE


def main(path):
    folder = Folder(path, f"TensorFlow {tf.__version__}, tf2onnx {tf2onnx.__version__}")
    for height, width in ((36, 48), (33, 33), (33, 41), (28, 41)):
        size, shape = f"{height}x{width}", (1, height, width, 8)
        for writer, name, says in ((write, "", ""), (write_graph, "tf1_", "TF 1: ")):
            name, says = f"{name}pyramid_{size}", f"{says}pyramid, SAME, {size}"
            writer(folder, name, says, 4, Pyramid(8), shape, restored=Pyramid(8, adaptive))
    write_graph(folder, "tf1_gem", "TF 1: GeM", 1, generalised_mean, (2, *PLANE))
    for name, says, pools, source, shape in models():
        if shape is OPEN:
            write(folder, name, says, pools, source, (None, *shape), OPEN_SHAPES)
        else:
            write(folder, name, says, pools, source, (2, *shape))
    folder.close()


if __name__ == "__main__":
    main(sys.argv[1])
