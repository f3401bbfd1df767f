"""What is installed: packages, dependencies, the price and the direction of imports."""

import ast
import graphlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

import fastbp

ROOT = Path(__file__).parents[1]
# Imported only by the features that need them; `import fastbp` has to stay cheap.
HEAVY = [
    "autograd",
    "hypothesis",
    "jax",
    "matplotlib",
    "pytest",
    "rich",
    "scipy.optimize",
    "scipy.signal",
    "scipy.sparse.linalg",
    "scipy.stats",
    "threadpoolctl",
    "torch",
]


def modules_after(statement):
    """Names of the modules that a fresh interpreter has loaded after `statement`."""
    code = f"import json, sys; {statement}; print(json.dumps(list(sys.modules)))"
    command = [sys.executable, "-I", "-c", code]
    return set(json.loads(subprocess.run(command, capture_output=True, check=True).stdout))


def test_import_loads_no_heavy_module():
    loaded = modules_after("import fastbp") - modules_after("import scipy.linalg")
    assert "fastbp._core" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_runtime_dependencies_are_numpy_and_scipy():
    requirements = [r for r in metadata.requires("fastbp") if "extra ==" not in r]
    assert {re.match(r"[\w-]+", r)[0] for r in requirements} == {"numpy", "scipy"}


def test_the_citation_is_of_this_package():
    with open(ROOT / "pyproject.toml", "rb") as file:
        project = tomllib.load(file)["project"]
    cited = dict(
        re.findall(r"^([\w-]+): *(.+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    )
    assert cited["cff-version"] == "1.2.0"
    assert (
        cited["version"] == project["version"] == fastbp.__version__ == metadata.version("fastbp")
    )
    assert cited["license"] == project["license"]
    assert cited["title"].strip('"').startswith(f"{project['name']}: ")
    assert {"message", "type"} <= set(cited)
    (author,) = project["authors"]
    assert f"authors:\n  - name: {author['name']}\n" in (ROOT / "CITATION.cff").read_text()


def test_the_conda_recipe_is_of_this_package():
    with open(ROOT / "pyproject.toml", "rb") as file:
        project = tomllib.load(file)
    recipe = (ROOT / ".ci" / "conda" / "recipe.yaml").read_text()
    requirements = recipe[recipe.index("\n  host:") : recipe.index("\ntests:")]
    host, run = (re.findall(r"- (\w+) (>=.+)", part) for part in requirements.split("  run:"))
    wanted = [re.match(r"(\w+)(.*)", r).groups() for r in project["build-system"]["requires"]]
    assert sorted(host) == sorted(wanted)
    bench = project["project"]["optional-dependencies"]["bench"]
    wanted = [
        re.match(r"(\w+)(.*)", r).groups() for r in project["project"]["dependencies"] + bench
    ]
    assert sorted(run) == sorted(wanted)
    assert f'version: "{fastbp.__version__}"' in recipe
    assert f"summary: {project['project']['description']}" in recipe


def test_every_package_is_installed():
    found = [path.parent.relative_to(ROOT) for path in (ROOT / "fastbp").rglob("__init__.py")]
    expected = {".".join(path.parts) for path in found} | {"fastbp.benchmarks"}
    with open(ROOT / "pyproject.toml", "rb") as file:
        listed = tomllib.load(file)["tool"]["setuptools"]["packages"]
    assert set(listed) == expected


def test_import_without_a_build_says_what_to_do(tmp_path):
    only_python = shutil.ignore_patterns("*.so", "*.pyd", "__pycache__")
    shutil.copytree(ROOT / "fastbp", tmp_path / "fastbp", ignore=only_python)
    result = subprocess.run(
        [sys.executable, "-c", "import fastbp"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert result.returncode != 0
    last_line = result.stderr.strip().splitlines()[-1]
    assert last_line.startswith("fastbp.errors.NotBuiltError: ")
    assert "pip install" in last_line


@pytest.mark.parametrize("path", sorted(ROOT.glob("src_cy/**/*.pyx")), ids=lambda path: path.name)
def test_the_core_imports_nothing_above_it(path):
    # import-linter reads Python only, so the Cython sources are checked here.
    imports = re.compile(r"^\s*(?:from|c?import)\s+(fastbp\b[\w.]*|\.\.[\w.]*)", re.MULTILINE)
    allowed = re.compile(r"fastbp\.errors|fastbp\._core(\.\w+)?")
    imported = imports.findall(path.read_text())
    assert [name for name in imported if not allowed.fullmatch(name)] == []


@pytest.mark.parametrize("path", sorted(ROOT.glob("src_cy/*/*.pyx")), ids=lambda path: path.name)
def test_every_module_of_the_core_has_tests_of_its_name(path):
    assert (ROOT / "tests" / "_core" / path.parent.name / f"test_{path.stem}.py").exists()


def imported_by(path, modules):
    """Names of modules of fastbp that a file imports, in functions too, when it runs."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in modules else node.module for name in names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & modules.keys()


def test_no_imports_go_round():
    """Inside of packages too: import-linter's layers say in which direction they go."""
    paths = (ROOT / "fastbp").rglob("*.py")
    modules = {".".join(p.relative_to(ROOT).with_suffix("").parts): p for p in paths}
    modules = {name.removesuffix(".__init__"): path for name, path in modules.items()}
    graph = {name: imported_by(path, modules) - {name} for name, path in modules.items()}
    assert graph["fastbp.chain.base"] >= {"fastbp.chain.products"}
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names one
