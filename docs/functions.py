"""Tables of the functions of NumPy and SciPy that are differentiable, for the site.

``.. functions:: scipy.linalg`` lists those of a module, each with a link to its row in
operations.md, where its arguments and conventions stand.
"""

import inspect
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive

from fastbp.rules import coverage
from fastbp.rules.table import load_all

SECTIONS = {"Elementwise": "numpy.", "Of scipy.special": "scipy.special.", "Other functions": ""}


def anchor(path):
    """Return the id of the row of a function in operations.md."""
    return nodes.make_id(f"operation-{path}")


def rows(doctree):
    """Yield the rows of operations.md and which function each is of."""
    for section in doctree.findall(nodes.section):
        prefix = SECTIONS.get(section[0].astext())
        if prefix is None:
            continue
        for row in section.findall(nodes.row):
            name = row[0].astext()
            if row[0].next_node(nodes.literal) is not None:
                modules = ("numpy.", "scipy.")
                yield row, name if name.startswith(modules) else (prefix or "numpy.") + name


def name_rows(app, doctree):
    """Give the rows of operations.md something that can be linked to."""
    if app.env.docname == "operations":
        for row, path in rows(doctree):
            row["ids"].append(anchor(path))


class Functions(Directive):
    """The differentiable functions of a module."""

    required_arguments = 1

    def run(self):
        """Return the table."""
        load_all()
        namespace = self.arguments[0]
        text = (Path(__file__).parent / "operations.md").read_text(encoding="utf-8")
        found = [
            (name, f)
            for name, f in coverage.functions(namespace).items()
            if coverage.kind(namespace, name) == "differentiable"
        ]
        body = nodes.tbody()
        for name, f in found:
            row, first, second = nodes.row(), nodes.entry(), nodes.entry()
            known = _row_of(namespace, name, f, text)
            target = f"../operations.html#{anchor(known)}" if known else "../operations.html"
            link = nodes.reference("", "", nodes.literal("", name), refuri=target, internal=True)
            first += nodes.paragraph("", "", link)
            second += nodes.paragraph("", _summary(name, f))
            row += [first, second]
            body += row
        group = nodes.tgroup("", *(nodes.colspec(colwidth=w) for w in (30, 70)), body, cols=2)
        return [nodes.table("", group, classes=["functions"])]


def _row_of(namespace, name, f, text):
    """Return the function's path if operations.md has a row of it, by this name or its first."""
    for known in (name, getattr(f, "__name__", name)):
        path = f"{namespace}.{known}"
        shown = path.removeprefix("numpy.").removeprefix("scipy.special.")
        if f"\n| `{shown}` |" in text or f"\n| `{path}` |" in text:
            return path
    return None


def _summary(name, f):
    """Return the first sentence of a docstring, behind the signatures that ufuncs begin with."""
    signatures = f"{name}(", f"{getattr(f, '__name__', name)}("
    paragraphs = (inspect.getdoc(f) or "").split("\n\n")
    plain = [p for p in paragraphs if p and not p.lstrip().startswith(signatures)]
    return " ".join(plain[0].split()) if plain else ""


def setup(app):
    """Register both."""
    app.add_directive("functions", Functions)
    app.connect("doctree-read", name_rows)
    return {"parallel_read_safe": True}
