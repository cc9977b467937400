"""The watch reports each access."""

import json
import os
import subprocess
import sys

from testing.service import ROOT
from tests.faults.hostile_files import _changed

PROGRAM = """
import os, sys, socket
from tests.faults.watched import Watch
sys.addaudithook(Watch("intake", os.environ["HOME_FOLDER"], os.environ["REPORTS"]))
home, outside = os.environ["HOME_FOLDER"], os.environ["OUTSIDE"]
open(home + "/mine", "w").close()
os.remove(home + "/mine")
for attempt in (
    lambda: open(outside + "/read"),
    lambda: open(home + "/../outside/written", "w"),
    lambda: os.mkdir(outside + "/made"),
    lambda: socket.create_connection(("127.0.0.1", 9)),
    lambda: os.system("true"),
):
    try:
        attempt()
    except OSError:
        pass
"""


def test_watch(tmp_path):
    home, outside, reports = tmp_path / "home", tmp_path / "outside", tmp_path / "reports"
    home.mkdir()
    outside.mkdir()
    variables = {"HOME_FOLDER": str(home), "OUTSIDE": str(outside), "REPORTS": str(reports), "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", PROGRAM], env=os.environ | variables, check=True, cwd=tmp_path)
    seen = [json.loads(line)["what"] for line in reports.read_text().splitlines()]
    assert [what for what in seen if what != "socket.getaddrinfo"] == [
        "begin", "read", "write", "os.mkdir", "socket.connect", "os.system", "end",
    ]  # fmt: skip


def test_changed():
    assert [finding.what for finding in _changed({"a", "b"}, {"b", "c"})]
    assert list(_changed({"a"}, {"a"})) == []
