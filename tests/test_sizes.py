"""Files have at most 300 lines and functions at most 40 lines of code. Exceptions have a reason here."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("api", "core", "worker", "embedreel", "testing")
MOST_LINES, MOST_CODE = 300, 40

LONG_FILES = {
    "api/http/errors.py": "the table of all errors and their statuses beside the one place that answers with them",
    "core/domain/spec.py": "all sections of a spec; two thirds of the lines describe fields",
    "core/measure/highlights.py": "one function for each kind of event, over the same history",
    "core/measure/neighbors.py": "one algorithm; a cut would separate the search from the bound that makes it exact",
    "embedreel/serve.py": "the life of the local processes, from the first start to the last signal",
    "worker/attempt.py": "one attempt from the start of its child to the published artifact",
}
LONG_FUNCTIONS = {
    "api/openapi/choices.py: document_text": "the text of a generated document, in its order",
}


def sources():
    return {path.relative_to(ROOT): path.read_text() for package in PACKAGES for path in (ROOT / package).rglob("*.py")}


def code_lines(function, lines):
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    if not body:
        return 0
    code = lines[body[0].lineno - 1 : function.end_lineno]
    return sum(1 for line in code if line.strip() and not line.strip().startswith("#"))


def test_files__are_short():
    long = {str(path) for path, text in sources().items() if len(text.splitlines()) > MOST_LINES}
    assert long == set(LONG_FILES), "cut the file where it is natural, or give a reason here"


def test_functions__are_short():
    long = set()
    for path, text in sources().items():
        lines = text.splitlines()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and code_lines(node, lines) > MOST_CODE:
                long.add(f"{path}: {node.name}")
    assert long == set(LONG_FUNCTIONS), "make parts of the function, or give a reason here"
