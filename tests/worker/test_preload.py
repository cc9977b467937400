"""What the fork server has imported before the first stage."""

import json
import subprocess
import sys

FOUND = """
import json, sys, threading, warnings
import worker.preload
print(json.dumps({
    "modules": sorted(sys.modules),
    "threads": threading.active_count(),
    "silenced": ("ignore", None, Warning, None, 0) in warnings.filters,
}))
"""


def test_preload__what_stages_of_a_preset_import_is_there():
    done = subprocess.run([sys.executable, "-c", FOUND], capture_output=True, text=True, check=True, timeout=120)
    found = json.loads(done.stdout.splitlines()[-1])
    models = {f"transformers.models.{name}.modeling_{name}" for name in ("vit", "resnet", "convnext")}
    assert {*models, "cleanlab.filter", "sklearn.datasets", "matplotlib.figure"} <= set(found["modules"])
    assert found["threads"] == 1  # the fork server forks: a child would not have the others
    assert not found["silenced"]  # as importing cleanlab does
