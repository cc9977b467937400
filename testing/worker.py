"""`python -m testing.worker`: a worker with the stages of the module that EMBEDREEL_TEST_STAGES names."""

import os
import sys

from worker.__main__ import main as run_worker
from worker.job import STAGES_MODULE

VARIABLE = "EMBEDREEL_TEST_STAGES"


def main():
    """Run the worker; the real stages are run if the variable is not set."""
    return run_worker(os.environ.get(VARIABLE, STAGES_MODULE))


if __name__ == "__main__":
    sys.exit(main())
