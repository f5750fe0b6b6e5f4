"""What a maker writes: models, and what the framework itself makes of some values.

For each model of FOLDER there are

    NAME.onnx             as exported
    NAME.npz              pairs, as docs/pairs.md has them: the framework's own outputs
    NAME.restored.npz     the same of adaptive pooling, where the model pools otherwise
    index.json            NAME, what it is, and how many pools are in it

Makers run by the Python of their framework's environment, which has neither onnxpool nor this
package: `python makers/NAME.py FOLDER`.
"""

import json
from pathlib import Path

import numpy as np
import onnx


class Folder:
    """Attributes:
    entries: of the index, as they are written.
    """

    def __init__(self, path, producer):
        self.path, self.producer, self.entries = Path(path), producer, []
        self.path.mkdir(parents=True, exist_ok=True)

    def model(self, name, says, pools, model, runs, shapes):
        """Write a model and its pairs.

        Args:
            says: what is exported, in a few words.
            pools: how many the source has.
            model: a ModelProto with one input.
            runs: per suffix of pairs, a function from the input to the outputs in order.
            shapes: of the input, one pair each.
        """
        model.doc_string = ""
        onnx.save(model, self.path / f"{name}.onnx")
        stored = {tensor.name for tensor in model.graph.initializer}
        (x,) = [value.name for value in model.graph.input if value.name not in stored]
        names = [value.name for value in model.graph.output]
        rng = np.random.default_rng(0)
        values = [rng.standard_normal(shape).astype("float32") for shape in shapes]
        for suffix, run in runs.items():
            arrays = {}
            for number, value in enumerate(values):
                arrays[f"{number}/{x}"] = value
                outputs = zip(names, run(value), strict=True)
                arrays.update({f"{number}/{output}": y for output, y in outputs})
            np.savez_compressed(self.path / f"{name}.{suffix}", **arrays)
        self.entries.append({"name": name, "says": says, "pools": pools})

    def close(self):
        index = {"producer": self.producer, "models": self.entries}
        (self.path / "index.json").write_text(json.dumps(index, indent=1) + "\n")
