"""Mutants of core/measure, core/layout, core/store and core/domain, and the fraction of them that the tests notice.

cosmic-ray makes the mutants. Each mutant is one change at a random place of the code. A forked process imports the
changed module and runs the tests that mirror its folder. The mutant is killed if a test fails or the time is up. The
tests of other folders are not run, although they would kill more mutants.

These places are left out, because no test could notice a change: signatures and annotations, decorators of classes
(`frozen`, `slots`), and constants of a module, which are choices. As many mutants as the machine has cores are tested
side by side. Results are appended to a file, so an interrupted run continues.
"""

import argparse
import ast
import importlib.abc
import importlib.util
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.machinery import ModuleSpec
from multiprocessing.pool import ThreadPool
from pathlib import Path
from types import ModuleType

from cosmic_ray import plugins
from cosmic_ray.ast import Visitor, get_ast
from cosmic_ray.mutating import mutate_code

PACKAGES = ("core/domain", "core/layout", "core/measure", "core/store")

OURS = ("api", "core", "embedreel", "testing", "worker")

LEFT_OUT = ("core/NoOp", "core/VariableInserter", "core/VariableReplacer")
"""Operators that need arguments, or change nothing."""

SECONDS = 180.0
"""Longest time of the tests of a mutant, seconds. The slowest folder takes a third of it on an idle machine."""

PRELOADED = (
    "hypothesis",
    "numpy",
    "pydantic",
    "pytest",
    "scipy.stats",
    "scipy.spatial",
    "sklearn.manifold",
    "sqlalchemy",
)
"""Libraries that are imported once, before the processes of the mutants are forked."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of one file.

    Attributes:
        path: the file.
        line: line of the change, from 1.
        column: column of the change, from 0.
        operator: name of cosmic-ray's operator.
        occurrence: number of the change among all changes of this operator in the file.
    """

    path: str
    line: int
    column: int
    operator: str
    occurrence: int


def main(options: argparse.Namespace) -> None:
    results = options.output or Path(".mutation.jsonl")
    mutants = sample(options.mutants, seed=options.seed)
    done = _read(results)
    for module in PRELOADED:
        importlib.import_module(module)
    for package in PACKAGES:
        if _run(None, [f"tests/{package}"]) != "survived":
            raise SystemExit(f"tests of the unchanged code fail: run pytest tests/{package}")
    with ThreadPool(os.cpu_count() or 1) as pool, results.open("a") as file:
        left = [mutant for mutant in mutants if mutant not in done]
        for number, (mutant, outcome) in enumerate(pool.imap_unordered(_with_outcome, left), start=1):
            done[mutant] = outcome
            file.write(json.dumps({**asdict(mutant), "outcome": outcome}) + "\n")
            file.flush()
            print(f"{number}/{len(left)} {outcome:9} {mutant.path}:{mutant.line} {mutant.operator}", flush=True)
    report({mutant: done[mutant] for mutant in mutants})


def sample(count: int, *, seed: int) -> list[Mutant]:
    """Return random mutants: places are drawn evenly over all packages, and one operator for each place."""
    places = sorted(places_of(path for package in PACKAGES for path in Path(package).rglob("*.py")).items())
    rng = random.Random(seed)  # noqa: S311 - a sample
    return [rng.choice(found) for _, found in rng.sample(places, min(count, len(places)))]


def places_of(paths: Iterable[Path]) -> dict[tuple[str, int, int], list[Mutant]]:
    """Return the possible mutants of these files, by file, line and column."""
    places: dict[tuple[str, int, int], list[Mutant]] = {}
    for path in sorted(paths):
        source = path.read_text()
        kept_out = list(_untested(source))
        for name, found in _positions(source).items():
            for occurrence, (line, column) in enumerate(found):
                if not any(first <= (line, column) < last for first, last in kept_out):
                    mutant = Mutant(str(path), line, column, name, occurrence)
                    places.setdefault((str(path), line, column), []).append(mutant)
    return places


class _Positions(Visitor):  # type: ignore[misc]
    """Collects the places that each operator can change, in cosmic-ray's order."""

    def __init__(self, names: Iterable[str]) -> None:
        self._operators = {name: plugins.get_operator(name)() for name in names}
        self.found: dict[str, list[tuple[int, int]]] = {name: [] for name in self._operators}

    def visit(self, node: object) -> object:
        for name, operator in self._operators.items():
            self.found[name] += [start for start, _ in operator.mutation_positions(node)]
        return node


def _positions(source: str) -> dict[str, list[tuple[int, int]]]:
    visitor = _Positions(sorted(set(plugins.operator_names()) - set(LEFT_OUT)))
    visitor.walk(get_ast(source))
    return visitor.found


def _untested(source: str) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Return the ranges that are left out, as pairs of (line, column)."""
    tree = ast.parse(source)
    expressions: list[ast.expr] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            yield (node.lineno, node.col_offset), (node.body[0].lineno, node.body[0].col_offset)
        elif isinstance(node, ast.ClassDef):
            expressions += node.decorator_list
        elif isinstance(node, ast.AnnAssign):
            expressions.append(node.annotation)
    expressions += [node.value for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign) and node.value]
    for expression in expressions:
        last = expression.end_lineno or 0, expression.end_col_offset or 0
        yield (expression.lineno, expression.col_offset), last


def _with_outcome(mutant: Mutant) -> tuple[Mutant, str]:
    return mutant, killed_by(mutant)


def killed_by(mutant: Mutant) -> str:
    """Run the tests of a mutant; return `killed`, `timeout` or `survived`."""
    module = Path(mutant.path)
    mirror = Path("tests", module.parent, f"test_{module.stem}.py")
    folder = next(parent for parent in mirror.parents if parent.exists())
    rounds = [[str(mirror)]] if mirror.exists() else []
    rounds.append([mutant.path, str(folder)])
    for tests in rounds:
        outcome = _run(mutant, tests)
        if outcome != "survived":
            return outcome
    return "survived"


def _run(mutant: Mutant | None, tests: Sequence[str]) -> str:
    """Run these tests in a forked process that imports the changed module; None changes nothing."""
    child = os.fork()
    if child == 0:
        os.setsid()
        status = 1
        try:
            status = _test(mutant, tests)
        finally:
            os._exit(status)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return _outcome(os.waitstatus_to_exitcode(status), tests)
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "timeout"


def _outcome(status: int, tests: Sequence[str]) -> str:
    """Return the meaning of an exit status of pytest: 1 is a failed test, 2 and 4 import errors, below 0 a signal."""
    if status == 0:
        return "survived"
    if status in {1, 2, 4} or status < 0:
        return "killed"
    raise SystemExit(f"pytest {' '.join(tests)} ended with status {status}")


def _test(mutant: Mutant | None, tests: Sequence[str]) -> int:
    import pytest  # noqa: PLC0415 - imported by the parent

    with tempfile.TemporaryFile("w") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
        for name in [name for name in sys.modules if name.split(".")[0] in OURS]:
            del sys.modules[name]  # the parent has imported some of them unchanged
        if mutant:
            operator = plugins.get_operator(mutant.operator)()
            source = mutate_code(Path(mutant.path).read_text(), operator, mutant.occurrence)
            name = ".".join(Path(mutant.path).with_suffix("").parts).removesuffix(".__init__")
            sys.meta_path.insert(0, _Changed(name, source, mutant.path))
        options = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", "-k", "not umap"]
        options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # the parent has imported hypothesis
        return int(pytest.main([*options, *tests]))


class _Changed(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Imports one module from changed source code."""

    def __init__(self, name: str, source: str, path: str) -> None:
        self._name, self._source, self._path = name, source, str(Path(path).resolve())

    def find_spec(self, name: str, _path: object, _target: object = None) -> ModuleSpec | None:
        """Return the module with the changed code, if it is this one."""
        if name != self._name:
            return None
        return importlib.util.spec_from_loader(name, self, origin=self._path)

    def get_source(self, _fullname: str) -> str:
        """Return the changed code."""
        return self._source

    def exec_module(self, module: ModuleType) -> None:
        """Run the changed code."""
        module.__file__ = self._path
        exec(compile(self._source, self._path, "exec"), module.__dict__)  # noqa: S102


def report(outcomes: dict[Mutant, str]) -> None:
    """Print the fraction of killed mutants of each package, and the survivors."""
    print("\n| package | mutants | killed | of these by the time limit | fraction |\n|---|---|---|---|---|")
    for package in (*PACKAGES, ""):
        found = [outcome for mutant, outcome in outcomes.items() if mutant.path.startswith(package)]
        killed = [outcome for outcome in found if outcome != "survived"]
        share = len(killed) / len(found) if found else 0.0
        print(f"| {package or 'all'} | {len(found)} | {len(killed)} | {killed.count('timeout')} | {share:.0%} |")
    print("\nSurvivors:\n")
    for mutant, outcome in sorted(outcomes.items(), key=lambda item: (item[0].path, item[0].line)):
        if outcome == "survived":
            line = Path(mutant.path).read_text().splitlines()[mutant.line - 1].strip()
            print(f"- {mutant.path}:{mutant.line}:{mutant.column} {mutant.operator.removeprefix('core/')}: `{line}`")


def _read(results: Path) -> dict[Mutant, str]:
    lines = results.read_text().splitlines() if results.exists() else []
    records = (json.loads(line) for line in lines)
    return {Mutant(**{k: v for k, v in record.items() if k != "outcome"}): record["outcome"] for record in records}
