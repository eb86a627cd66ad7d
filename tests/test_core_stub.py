"""The stub _core.pyi tells the truth about the extension.

mypy's stubtest does this too, with the extension built; here it is part of the tests.
"""

import ast
import inspect
import re
from pathlib import Path

import numpy as np
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
    """The same of the extension."""
    target = _core
    for part in name.split("."):
        target = getattr(target, part)
    parameters = [p for p in inspect.signature(target).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    names = [p.name for p in parameters if p.name != "self"]
    return names, [p.name for p in parameters if p.default is not p.empty]


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


@pytest.mark.parametrize("kind", ["Accumulator", "MomentSums", "SymmetricTensor"])
def test_members_agree(kind):
    node = next(n for n in STUB.body if isinstance(n, ast.ClassDef) and n.name == kind)
    members = {f.name for f in node.body if f.name != "__init__"}
    assert members == {n for n in vars(getattr(_core, kind)) if not n.startswith("_")}


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {}, "link_values() needs name"),
        (("tanh",), {}, "link_values() needs t"),
        (("tanh", np.zeros(1), 3), {}, "link_values() takes 2 arguments"),
        (("tanh", np.zeros(1)), {"x": 3}, "link_values() has no argument x"),
        (("tanh", np.zeros(1)), {"t": np.zeros(1)}, "link_values() was given t twice"),
        ((3, np.zeros(1)), {}, "link_values: name cannot be 3"),
        (("tanh", None), {}, "t must be an array of float64 in C order, got <class 'NoneType'>"),
    ],
)
def test_wrong_arguments_are_named(args, kwargs, message):
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        _core.link_values(*args, **kwargs)


def test_arguments_may_be_given_by_position_and_by_name():
    t = np.linspace(-1.0, 1.0, 5)
    for found in (
        _core.link_values("tanh", t),
        _core.link_values("tanh", t=t),
        _core.link_values(t=t, name="tanh"),
    ):
        np.testing.assert_allclose(found[0], np.tanh(t), rtol=1e-14)
