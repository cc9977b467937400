"""What the fork server imports once, so that a child starts in milliseconds.

CUDA stays untouched: it cannot follow a fork.
"""

import gc
import warnings
from importlib import import_module

import accelerate  # noqa: F401
import matplotlib.figure  # noqa: F401
import scipy.linalg  # noqa: F401
import sklearn.datasets  # noqa: F401
import torch  # noqa: F401

from core.domain.families import FAMILIES
from core.domain.models import PRESETS
from core.learn.families import classifier_class
from worker.stages import MODULES

with warnings.catch_warnings():  # cleanlab turns off all of the process's warnings
    import cleanlab.filter  # noqa: F401

for preset in PRESETS.values():
    classifier_class(FAMILIES[preset.model_type])  # transformers imports a model's module when it is first asked for

for module in MODULES.values():
    import_module(module)

gc.collect()
gc.freeze()  # children share these pages as long as nobody counts references in them
