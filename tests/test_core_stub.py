"""The stub _core.pyi tells the truth about the extension.

mypy's stubtest compares which names exist, but it cannot see the arguments of pybind11 functions. They are in
the first line of each docstring, so they are compared here.
"""

import ast
import inspect
import re
from pathlib import Path

import pytest

import moefast
from moefast import _core

STUB = ast.parse(Path(moefast.__file__).with_name("_core.pyi").read_text(encoding="utf-8"))


def _stub_signatures():
    """Name -> (arguments, which of them have defaults), for functions and methods of the stub."""
    found = {}

    def visit(body, prefix):
        for node in body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                visit(node.body, f"{node.name}.")
            elif isinstance(node, ast.FunctionDef) and not any(
                getattr(d, "id", "") == "property" for d in node.decorator_list
            ):
                positional = [a.arg for a in node.args.args]
                keyword = [a.arg for a in node.args.kwonlyargs]
                optional = positional[len(positional) - len(node.args.defaults) :] if node.args.defaults else []
                defaults = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
                optional += [argument.arg for argument, default in defaults if default is not None]
                found[prefix + node.name] = (positional + keyword, optional)

    visit(STUB.body, "")
    return found


def _runtime_signature(name):
    """Arguments as pybind11 writes them: "name(a: type, b: type = default) -> type"."""
    target = _core
    for part in name.split("."):
        target = getattr(target, part)
    head = next(line for line in target.__doc__.splitlines() if "->" in line)
    inside = head[head.index("(") + 1 : head.rindex(") ->")]
    arguments, optional, depth, current = [], [], 0, ""
    for char in inside + ",":
        depth += (char in "[(") - (char in "])")
        if char == "," and depth == 0:
            argument = re.match(r"\s*(\w+)", current)
            if argument and argument[1] != "self":
                arguments.append(argument[1])
                if "=" in current:
                    optional.append(argument[1])
            current = ""
        else:
            current += char
    return arguments, optional


SIGNATURES = _stub_signatures()


@pytest.mark.parametrize("name", sorted(SIGNATURES))
def test_arguments_agree(name):
    arguments, optional = SIGNATURES[name]
    assert _runtime_signature(name) == ([a for a in arguments if a != "self"], optional)


def test_no_name_is_missing():
    """Everything public in the extension is in the stub, and nothing else."""
    in_stub = {
        node.name if hasattr(node, "name") else node.target.id
        for node in STUB.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AnnAssign)
    }
    runtime = {n for n, v in vars(_core).items() if not n.startswith("_") and not inspect.ismodule(v)}
    assert {n for n in in_stub if not n.startswith("_")} == runtime


@pytest.mark.parametrize("kind", ["Accumulator64", "Accumulator32", "MomentSums", "SymmetricTensor"])
def test_members_agree(kind):
    node = next(n for n in STUB.body if isinstance(n, ast.ClassDef) and n.name == kind)
    members = {f.name for f in node.body if f.name != "__init__"}
    assert members == {n for n in vars(getattr(_core, kind)) if not n.startswith("_")}
