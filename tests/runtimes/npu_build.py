"""Build a model for an NPU, and print where its ops run: ``python npu_build.py DRIVER.py MODEL``.

It is started by the Python of the toolchain's environment, as worker.py is, which is to be on the
path that modules are imported from.
"""

import sys

from worker import Model, import_driver

if __name__ == "__main__":
    driver, path = import_driver(sys.argv[1]), sys.argv[2]
    if hasattr(driver, "built"):  # Rockchip's, which prints it if it is asked to
        driver.built(path, verbose=True)
    else:
        driver.load(Model(path, [], [], [], []))
