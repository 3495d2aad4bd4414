import subprocess
import sys

CODE = """
import sys
from napari_ssl.gui.warm_up import warm_up
before = {"pandas", "scipy.linalg"} & set(sys.modules)
thread = warm_up()
thread.join(60)
import pint
import numpy as np
from napari.layers import Labels
known = set(sys.modules)
Labels(np.zeros((2, 2), np.uint8), units=("mm", "mm"))
print(sorted(before), thread.is_alive(), len(set(sys.modules) - known), "pandas" in known, "qtpy.QtWidgets" in known)
"""


def test_the_first_layer_of_the_window_imports_nothing_any_more():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=300)
    assert done.stdout.strip() == "[] False 0 True False", done.stderr
