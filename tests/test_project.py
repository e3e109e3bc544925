"""The project itself: who imports whom, what is public, what loads torch."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import gelora

SOURCE = Path(gelora.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))
TESTS = sorted(Path(__file__).parent.rglob("*.py"))

# design.md, "Who may import whom": a module imports from its own layer or lower.
LAYERS = {
    "errors": 0,
    "hub": 0,
    "artifacts": 0,
    "settings": 0,
    "lazy": 0,
    "locks": 0,
    "problems": 0,
    "progress": 1,
    "environment": 0,
    "dimension": 1,
    "ranks": 1,
    "memory": 1,
    "hidden_states": 2,
    "adapters": 2,
    "checkpoints": 2,
    "exports": 2,
    "cutting": 2,
    "likelihood": 2,
    "gelora_model": 2,
    "training": 3,  # which knows no task: tasks import it
    "tasks": 3,
    "report": 4,
    "lab": 5,  # a bench on top of the library, which never imports it
    "cli": 6,
    "__main__": 7,
}
# The outside world of each layer, which every higher one may use, too.
HEAVY = {"numpy": 1, "torch": 1, "scipy": 1, "transformers": 2, "peft": 2, "datasets": 2}


def home(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(path: Path) -> list[str]:
    """Return what a file imports, but for other packages that only its types name."""
    names = []
    tree = ast.parse(path.read_text())
    checks = [n for n in ast.walk(tree) if isinstance(n, ast.If)]
    for_types = {
        id(inside)
        for check in checks
        if ast.unparse(check.test) == "TYPE_CHECKING"
        for inside in ast.walk(check)
    }
    for node in ast.walk(tree):
        if id(node) in for_types and not ast.unparse(node).startswith("from gelora"):
            continue
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports relatively"
            names.append(node.module)
        elif isinstance(node, ast.Import):
            names.extend(alias.name for alias in node.names)
    return names


def layer_of(name: str) -> int:
    """Return the layer of a package, gelora's or another's."""
    package, *rest = name.split(".")
    return LAYERS[rest[0]] if package == "gelora" and rest else HEAVY.get(package, 0)


def test_imports_point_down():
    upward = [
        f"{path.relative_to(SOURCE)} imports {name}"
        for path in FILES
        if path != SOURCE / "__init__.py"  # names every public home, lazily
        for name in imports(path)
        if layer_of(name) > LAYERS[home(path)]
    ]
    assert upward == []


def test_training_knows_no_task():
    named = {name for path in FILES if home(path) == "training" for name in imports(path)}
    assert "gelora.hidden_states" in named
    assert [name for name in named if name.startswith("gelora.tasks")] == []


def test_a_file_opens_with_what_it_does():
    silent = [path for path in FILES if not ast.get_docstring(ast.parse(path.read_text()))]
    assert silent == []


@pytest.mark.parametrize("name", gelora.__all__)
def test_public_names_resolve_and_are_documented(name):
    assert getattr(gelora, name).__doc__


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'measure_dimension'"):
        gelora.measure_dimension  # noqa: B018


def test_every_error_and_warning_is_in_the_tree():
    errors = importlib.import_module("gelora.errors")
    classes = [name for name in vars(errors) if name.endswith(("Error", "Warning"))]
    assert len(classes) > 10
    assert all(name in errors.__doc__ for name in classes)


@pytest.mark.parametrize(
    "statement",
    ["import gelora", "import gelora.cli", "import gelora.tasks.known", "import gelora.errors"],
)
def test_importing_loads_no_torch(statement):
    heavy = "{'torch', 'transformers', 'peft', 'datasets', 'numpy', 'matplotlib'}"
    code = f"{statement}; import sys; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_module_can_be_imported_where_posix_modules_are_missing():
    names = [
        ".".join(("gelora", *path.relative_to(SOURCE).with_suffix("").parts))
        for path in FILES
        if path.name not in ("__init__.py", "__main__.py")
    ]
    code = (
        "import torch, transformers, peft, trl, filelock, sys, importlib\n"  # theirs come first
        "for name in ('fcntl', 'resource', 'pwd', 'grp', 'termios'): sys.modules[name] = None\n"
        f"for name in {names}: importlib.import_module(name)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
