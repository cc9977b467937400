"""Imports of the fork server. A forked child then starts in 17 ms (median of `python -m bench engine`).

Nothing here initialises CUDA, because CUDA cannot be used in a process that was forked after its initialisation.
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

with warnings.catch_warnings():  # the import of cleanlab disables the warnings of the whole process
    import cleanlab.filter  # noqa: F401

for preset in PRESETS.values():
    classifier_class(FAMILIES[preset.model_type])  # this imports the model's module of transformers

for module in MODULES.values():
    import_module(module)

gc.collect()
gc.freeze()  # the garbage collector does not write to frozen objects, so children share their memory pages
