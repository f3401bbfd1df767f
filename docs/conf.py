"""The documentation site: ``sphinx-build -W docs build/site``, see CONTRIBUTING.md."""

import itertools
import re
import sys
import textwrap
from pathlib import Path

import fastbp

sys.path.insert(0, str(Path(__file__).parent))  # for functions, offline, pictures

project = "fastbp"
author = "The fastbp developers"
copyright = "The fastbp developers, BSD 3-clause license"
version = release = fastbp.__version__

extensions = [
    "functions",
    "offline",
    "matplotlib.sphinxext.plot_directive",
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["gallery/**/*.ipynb", "gallery/**/*.py", "gallery/**/*.zip"]
default_role = "code"  # `x` in docstrings

# Pages in Markdown are read on their own too: links go to files, which become pages here.
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4

# ```{plot}: the code, and what it draws.
plot_formats = ["svg"]
plot_include_source = True
plot_html_show_formats = False
plot_html_show_source_link = False

autodoc_typehints = "none"
autosummary_generate = True
templates_path = ["_templates"]
numpydoc_show_class_members = False

html_math_renderer = "mathml"  # of offline.py
html_theme = "pydata_sphinx_theme"
html_title = "fastbp"
html_favicon = "_static/favicon.svg"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_sidebars = {name: [] for name in ("lecture", "tutorial", "performance")}  # no pages below
html_show_sourcelink = False
html_theme_options = {
    "header_links_before_dropdown": 7,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}

sphinx_gallery_conf = {
    "reset_argv": "pictures.arguments",
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"\.py$",
    "download_all_examples": False,
    "show_memory": False,
    "write_computation_times": False,
}


def plots(name, text):
    """Return a page whose plots have the directive around them: it wants reStructuredText."""
    numbers = itertools.count(1)

    def plot(block):
        prefix = f"{name}-{next(numbers)}"
        code = textwrap.indent(block[1], "   ")
        return f"```{{eval-rst}}\n.. plot::\n   :filename-prefix: {prefix}\n\n{code}```"

    return re.sub(r"^```\{plot\}\n(.*?)^```$", plot, text, flags=re.MULTILINE | re.DOTALL)


def for_the_site(app, name, source):
    """Turn what stands in a page for readers of the file into what the site has for it."""
    text = source[0]
    text = re.sub(r"\[([\w/]+\.md)\]\(\1\)", r"[](\1)", text)  # a page by its title
    text = re.sub(r"\]\(\.\./examples/(\w+)\.py\)", r"](gallery/\1.rst)", text)
    text = re.sub(r"\]\(\.\./README\.md(#\w+)?\)", r"](index.md)", text)
    text = re.sub(r"\[([^]]*)\]\(\.\./[^)]*\)", r"\1", text)  # files that the site has not
    source[0] = plots(name, text).replace(
        "\n\n```\n", "\n```\n"
    )  # doctest ends an output at an empty line


def setup(app):
    """Connect what is written here."""
    app.connect("source-read", for_the_site)
