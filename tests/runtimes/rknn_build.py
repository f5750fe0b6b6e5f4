"""Build a model for Rockchip's NPU: ``python rknn_build.py DRIVER.py MODEL``.

The toolkit prints where each op runs. It is started by the Python of the toolkit's environment, as
worker.py is, which is to be on the path that modules are imported from.
"""

import sys

from worker import import_driver

if __name__ == "__main__":
    import_driver(sys.argv[1]).built(sys.argv[2], verbose=True)
