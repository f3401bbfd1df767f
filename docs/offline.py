"""A site that loads nothing from the network: formulas are MathML, which browsers draw.

At the end the pages and styles are searched for what a browser would fetch from elsewhere; each
finding is a warning, so that ``-W`` fails.
"""

import re
from html.parser import HTMLParser
from pathlib import Path

from docutils import nodes
from docutils.utils.math import MathError, latex2mathml
from sphinx.util import logging

logger = logging.getLogger(__name__)


def _mathml(node, as_block):
    try:
        return latex2mathml.tex2mathml(node.astext(), as_block=as_block)
    except MathError as error:
        logger.warning("%s in the formula %s", error, node.astext(), location=node)
        return ""


def inline(translator, node):
    """Write a formula in a line."""
    translator.body.append(_mathml(node, False))
    raise nodes.SkipNode


def block(translator, node):
    """Write a formula of its own."""
    translator.body.append(translator.starttag(node, "div", CLASS="formula"))
    translator.body.append(_mathml(node, True) + "</div>\n")
    raise nodes.SkipNode


class Loads(HTMLParser):
    """Addresses of what a browser fetches for a page; links to other pages are none."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        """Note what a start tag loads."""
        given = dict(attributes)
        address = given.get("href") if tag == "link" else tag != "a" and given.get("src")
        if address and re.match(r"(https?:)?//", address):
            self.found.append(address)


def check(app, exception):
    """Warn of everything that a browser would load from the network."""
    if exception or app.builder.format != "html":
        return
    site = Path(app.outdir)
    for page in site.rglob("*.html"):
        for address in Loads(page.read_text(encoding="utf-8")).found:
            logger.warning("%s loads %s", page.relative_to(site), address)
    for style in site.rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        for address in re.findall(r"(?:url\(|@import) *[\"']?((?:https?:)?//[^\"')]+)", text):
            logger.warning("%s loads %s", style.relative_to(site), address)


def setup(app):
    """Register the renderer and the check."""
    app.add_html_math_renderer(
        "mathml", inline_renderers=(inline, None), block_renderers=(block, None)
    )
    app.connect("build-finished", check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
