"""The API process alone: time to the first response, memory, and whether torch is loaded."""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from bench.service import resident_bytes
from embedreel import serve


def main(options: argparse.Namespace) -> None:
    seconds, megabytes = zip(*(start() for _ in range(options.repeats)), strict=True)
    loaded = subprocess.run(
        [sys.executable, "-c", "import api.main, sys; print('torch' in sys.modules)"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    print("| API process | measured | target |\n|---|---|---|")
    print(f"| start to first answer of /readyz | {statistics.median(seconds):.2f} s | under 2 s |")
    print(f"| resident memory after 200 requests | {max(megabytes):.0f} MB | under 150 MB |")
    print(f"| torch loaded | {loaded} | False |")


def start() -> tuple[float, float]:
    """Start the API process and send 200 requests.

    Returns:
        Seconds from the start of the process to its first response, and resident memory after the requests, MB.
    """
    with tempfile.TemporaryDirectory() as home:
        port = serve.free_port(serve.HOST)
        environment = {**os.environ, "EMBEDREEL_HOME": home, "EMBEDREEL_PORT": str(port)}
        started = time.perf_counter()
        process = subprocess.Popen([sys.executable, "-m", "api"], env=environment, stderr=subprocess.DEVNULL)
        try:
            while True:
                try:
                    urllib.request.urlopen(f"http://{serve.HOST}:{port}/readyz").read()
                    break
                except urllib.error.URLError:
                    time.sleep(0.01)
            elapsed = time.perf_counter() - started
            for index in range(200):
                path = ("/v1/runs", "/v1/models", "/v1/datasets", "/openapi.json")[index % 4]
                urllib.request.urlopen(f"http://{serve.HOST}:{port}{path}").read()
            return elapsed, resident_bytes(process.pid) / 1e6
        finally:
            process.terminate()
            process.wait()
