"""What the fork server imports once, so that a child starts in milliseconds.

CUDA stays untouched: it cannot follow a fork.
"""

import gc

import accelerate  # noqa: F401
import matplotlib.figure  # noqa: F401
import scipy.linalg  # noqa: F401
import torch  # noqa: F401

gc.collect()
gc.freeze()  # children share these pages as long as nobody counts references in them
