"""The documentation site: ``python -m sphinx -W docs build/site``, see CONTRIBUTING.md."""

import re
import sys
import tempfile
from pathlib import Path

import fastbp

sys.path.insert(0, str(Path(__file__).parent))  # for functions.py, offline.py

project = "fastbp"
author = "The fastbp developers"
copyright = "The fastbp developers, BSD 3-clause license"
version = release = fastbp.__version__

extensions = [
    "functions",
    "offline",
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

autodoc_typehints = "none"
autosummary_generate = True
templates_path = ["_templates"]
numpydoc_show_class_members = False

html_math_renderer = "mathml"  # of offline.py
html_theme = "pydata_sphinx_theme"
html_title = "fastbp"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_theme_options = {
    "header_links_before_dropdown": 7,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}

# Examples draw into the file that they are given; the gallery takes the figure that is open then.
PICTURE = Path(tempfile.mkdtemp()) / "picture.png"
sphinx_gallery_conf = {
    "reset_argv": lambda conf, script: [str(PICTURE)],
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"\.py$",
    "download_all_examples": False,
    "show_memory": False,
    "write_computation_times": False,
}


def for_the_site(app, name, source):
    """Turn what stands in a page for readers of the file into what the site has for it."""
    text = source[0]
    text = re.sub(r"\[([\w/]+\.md)\]\(\1\)", r"[](\1)", text)  # a page by its title
    text = re.sub(r"\]\(\.\./examples/(\w+)\.py\)", r"](gallery/\1.rst)", text)
    text = re.sub(r"\]\(\.\./README\.md(#\w+)?\)", r"](index.md)", text)
    text = re.sub(r"\[([^]]*)\]\(\.\./[^)]*\)", r"\1", text)  # files that the site has not
    source[0] = text.replace("\n\n```\n", "\n```\n")  # doctest ends an output at an empty line


def setup(app):
    """Connect what is written here."""
    app.connect("source-read", for_the_site)
