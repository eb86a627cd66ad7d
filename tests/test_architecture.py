"""Imports point one way, importing the package loads no more than fitting needs, and arguments are few."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

ROOT = Path(__file__).parents[1]
PROJECT = ROOT / "pyproject.toml"


def test_imports_point_one_way_and_never_in_a_circle(capsys):
    """The contracts stand in pyproject.toml."""
    assert lint_imports(config_filename=str(PROJECT), no_cache=True) == EXIT_STATUS_SUCCESS, (
        capsys.readouterr().out
    )


def rows_of_map(head):
    """The table of CONTRIBUTING.md whose first column is headed so: rows of cells, a cell the names in it."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text[text.index(f"| `{head}`") :].split("\n\n")[0].splitlines()[2:]
    return [[re.findall(r"`([^`]+)`", cell) for cell in row.strip("|").split("|")] for row in table]


def test_the_map_of_the_folders_is_the_contract():
    text = PROJECT.read_text(encoding="utf-8")
    layers = re.findall(r'^  "(.+)",$', text[text.index("layers = [") :].split("]")[0], flags=re.MULTILINE)
    assert [row[0] for row in rows_of_map("python/moefast/")] == [layer.split(" | ") for layer in layers]


def included_folders(folder):
    """The folders outside this one, as the map writes them, that its files include from."""
    found = set()
    files = [path for kind in ("*.cpp", "*.hpp") for path in (ROOT / "cpp" / folder).glob(kind)]
    assert files
    for path in files:
        for name in re.findall(r'#include "(.+)"', path.read_text(encoding="utf-8")):
            where = name.split("/")[0] if "/" in name else "src" if (ROOT / "cpp/src" / name).exists() else folder
            found.add("include" if where == "moefast" else where)
    return found - {Path(folder).name, "include" if folder.startswith("include") else ""}


def test_the_map_of_the_core_is_what_is_included():
    rows = {row[0][0]: set(row[2]) for row in rows_of_map("cpp/")}
    folders = {path.parent.relative_to(ROOT / "cpp").as_posix() for path in ROOT.glob("cpp/*/**/*.[ch]pp")}
    assert rows.keys() | {"tests"} == folders | {"bindings", "tests"}
    assert {folder: included_folders(folder) for folder in rows} == rows


def test_the_core_knows_no_python():
    for path in [*ROOT.glob("cpp/src/**/*.[ch]pp"), *ROOT.glob("cpp/include/**/*.hpp")]:
        assert not re.search(r"pybind11|Python\.h|\bPy[A-Z_]", path.read_text(encoding="utf-8")), path


def modules_loaded_by(*steps):
    """Return, for each of these pieces of code, what a fresh interpreter loads that runs one after the other."""
    script = "import sys; before = set(sys.modules)\n"
    script += "".join(f"{step}\nprint(*set(sys.modules) - before); before = set(sys.modules)\n" for step in steps)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return [set(line.split()) for line in done.stdout.splitlines()]


def test_import_loads_no_library_that_fitting_can_do_without():
    """scikit-learn's own foundations, which load what they like, count as there before; pictures are optional."""
    foundations = "import numpy, scipy.linalg, scipy.special, sklearn.base, sklearn.utils.validation"
    a_fit = "moefast.MixtureOfExpertsRegressor(1).fit([[0.0], [1.0], [2.0], [4.0]], [0.0, 1.0, 3.0, 3.0])"
    before, loaded, by_fit, by_command = modules_loaded_by(
        foundations, "import moefast", a_fit, "import moefast.cli"
    )
    assert "moefast.estimators.flat" in loaded
    assert "click" in by_command
    assert "matplotlib" not in before | by_command
    families = {".".join(name.split(".")[:2]) for name in loaded | by_fit}
    unwanted = {"pandas", "matplotlib", "tabulate", "click", "pyarrow", "polars", "dask", "formulaic"}
    unwanted |= {
        f"sklearn.{part}" for part in ("tree", "mixture", "cluster", "linear_model", "preprocessing", "metrics")
    }
    assert families & unwanted == set()


PACKAGE = PROJECT.parent / "python" / "moefast"
DOCUMENTED = (
    "moefast",
    *(
        f"moefast.{face}"
        for face in (
            "baselines",
            "datasets",
            "diagnostics",
            "em",
            "gating",
            "hierarchy",
            "io",
            "l4",
            "links",
            "mixture",
            "moments",
            "plotting",
            "spectral",
            "tensors",
            "transforms",
        )
    ),
)
MOST_ARGUMENTS = 7


def functions_of(tree, prefix):
    """Return (dotted name, syntax) of every function and method below a syntax tree."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{prefix}.{node.name}", node
        inner = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        yield from functions_of(node, f"{prefix}.{node.name}" if inner else prefix)


def n_arguments(function):
    a = function.args
    names = [arg.arg for arg in (*a.posonlyargs, *a.args, *a.kwonlyargs, a.vararg, a.kwarg) if arg is not None]
    return len([name for name in names if name not in ("self", "cls")])


def is_command(function):
    """Whether the function is what a user's command calls, an option an argument."""
    return any(ast.unparse(decorator).startswith("main.command(") for decorator in function.decorator_list)


def test_what_takes_many_arguments_is_a_constructor_a_command_or_public():
    """Everything else takes samples and options whole."""
    public = set()
    for face in map(importlib.import_module, DOCUMENTED):
        things = [getattr(face, name) for name in face.__all__]
        methods = [
            m
            for thing in things
            if inspect.isclass(thing)
            for name, m in inspect.getmembers(thing)
            if name[0] != "_"
        ]
        for thing in filter(inspect.isfunction, [*things, *methods]):
            public.add(f"{thing.__module__}.{thing.__qualname__}")
    found = []
    for file in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(("moefast", *file.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
        for name, function in functions_of(ast.parse(file.read_text(encoding="utf-8")), module):
            if n_arguments(function) > MOST_ARGUMENTS and function.name != "__init__" and name not in public:
                allowed = module.startswith("moefast.cli") and is_command(function)
                found += [] if allowed else [f"{name} takes {n_arguments(function)} arguments"]
    assert found == []
