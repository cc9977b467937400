"""Imports of the fork server. A forked child then starts in 17 ms (median of `python -m bench engine`).

Nothing here initialises CUDA, because CUDA cannot be used in a process that was forked after its initialisation.
"""

import gc
import warnings
from importlib import import_module

from core.domain.families import FAMILIES
from core.domain.models import PRESETS
from worker.stages import MODULES

LIBRARIES = ("accelerate", "cleanlab.filter", "matplotlib.figure", "scipy.linalg", "sklearn.datasets", "torch")


def preload() -> None:
    """Import the libraries, the presets' models and the stages."""
    gc.disable()  # collections during the imports took a sixth of the time: 5.7 s of processor time instead of 4.8 s
    with warnings.catch_warnings():  # the import of cleanlab disables the warnings of the whole process
        for name in (*LIBRARIES, *MODULES.values()):
            import_module(name)
    families = import_module("core.learn.families")
    for preset in PRESETS.values():
        families.classifier_class(FAMILIES[preset.model_type])  # this imports the model's module of transformers
    gc.freeze()  # the garbage collector does not write to frozen objects, so children share their memory pages
    gc.enable()


preload()
