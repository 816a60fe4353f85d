"""The site: the project's README, its lessons and the reference of its package, each from the file where it stands.

`python -m sphinx -W -c notebooks/site . build/site`, in the project's folder and after `pip install ".[site]"`, builds
it. The lessons are shown with the outputs that are committed; they run in the tests.
"""

import os
import re
import shutil
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import directives
from docutils.utils import new_document
from myst_parser.mdit_to_docutils.transforms import ResolveAnchorIds
from myst_parser.parsers.sphinx_ import MystParser
from sphinx.util.docutils import SphinxDirective

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
REPOSITORY = "https://github.com/bnn-ref/bnn_ref"

project = html_title = "bnn_ref"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
root_doc = "README"
include_patterns = ["README.md", "notebooks/README.md", "notebooks/[0-9]*.ipynb", "notebooks/course/README.md",
                    "notebooks/site/*.rst", "notebooks/check_your_own_layer.md", "notebooks/results.md",
                    "notebooks/speed.md", "notebooks/contributing.md", "notebooks/site/history.md"]
nb_execution_mode = "off"
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3                           # as on GitHub
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_preserve_defaults = True
viewcode_follow_imported_members = False           # what a package passes on has its source where it comes from
html_theme = "furo"
html_theme_options = {"source_repository": REPOSITORY, "source_branch": "main", "source_directory": ""}
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_copy_source = html_show_copyright = False


def setup(app):
    app.add_directive("modules", Modules)
    app.add_directive("markdown", Markdown)
    app.connect("source-read", link_sources)
    app.connect("source-read", add_contents)
    app.connect("doctree-read", name_equations)
    app.connect("autodoc-process-docstring", as_markdown)
    app.connect("build-finished", copy_front_page)


# --- pages ---------------------------------------------------------------------------------------------------------


def link_sources(app, page, source):
    """Links to files that are no pages: of a module to its reference here, of others to the repository."""
    folder = ROOT / Path(page).parent

    def link(match):
        file = Path(os.path.normpath(folder / match[2]))
        if not file.exists() or app.project.path2doc(file) in app.project.docnames:
            return match[0]
        path = file.relative_to(ROOT).as_posix()
        if path.startswith("bnn_ref") and file.suffix in ("", ".py"):
            return f"{match[1]}(#{path.removesuffix('.py').replace('/', '.').removesuffix('.__init__')})"
        return f"{match[1]}({REPOSITORY}/blob/main/{path})"

    source[0] = re.sub(r"(?<!!)(\[[^][]*\])\(([^)#:\s]+)\)", link, source[0])


def add_contents(app, page, source):
    if page == root_doc:
        source[0] += (HERE / "contents.md").read_text(encoding="utf-8")


def copy_front_page(app, error):
    """Visitors of the site's address want index.html; README.md is called README on GitHub."""
    if not error:
        shutil.copyfile(app.outdir / "README.html", app.outdir / "index.html")


# --- the reference -------------------------------------------------------------------------------------------------


class Modules(SphinxDirective):
    """A section for each module of the package that is named."""

    has_content = True
    option_spec = {"private-members": directives.flag}  # noqa: RUF012

    def run(self):
        options = "".join(f"   :{name}:\n" for name in self.options)
        return self.parse_text_to_nodes(
            "\n".join(f"{name}\n{'-' * len(name)}\n\n.. automodule:: bnn_ref.{name}\n{options}"
                      for name in self.content), allow_section_headings=True)


class Markdown(SphinxDirective):
    """Markdown in the middle of reStructuredText."""

    has_content = True

    def run(self):
        document = new_document(self.get_source_info()[0], self.state.document.settings)
        MystParser().parse("\n".join(self.content), document)
        ResolveAnchorIds(document).apply()         # its links; a page in Markdown has this done at its end
        return document.children


def as_markdown(app, what, name, documented, options, lines):
    """Docstrings are Markdown: autodoc, which writes reStructuredText, is to pass them on."""
    text = "\n".join(lines)
    links = [f"[{tag}]: #{tag}" for tag in TAGS if f"[{tag}]" in text]
    lines[:] = [".. markdown::", "", *(f"   {line}" for line in [*NO_HTML, *lines, "", *links])]


# --- equations -----------------------------------------------------------------------------------------------------

TAG = re.compile(r"\\tag\{(.*?)\}")
LESSONS = "".join(path.read_text(encoding="utf-8") for path in sorted(ROOT.glob("notebooks/[0-9]*.ipynb")))
TAGS = sorted(set(TAG.findall(LESSONS)))         # where [BNN-4] leads; what no lesson shows stays plain text
NO_HTML = ["---", "myst: {disable_syntax: [html_inline]}", "---"]          # <W> is a mean


def name_equations(app, doctree):
    """An equation with a tag can be linked to by it; the first lesson that shows it counts."""
    names = app.env.get_domain("std").anonlabels
    for equation in list(doctree.findall(nodes.math_block)):
        # Sphinx would wrap lines that end in \\ in `split`, where no tag may stand.
        equation["nowrap"] = equation["no-wrap"] = True
        equation[:] = [nodes.Text(rf"\[{equation.astext()}\]")]
        for tag in TAG.findall(equation.astext()):
            if tag.lower() not in names:
                target = f"equation-{tag.lower()}"
                names[tag.lower()] = app.env.docname, target
                equation.parent.insert(equation.parent.index(equation), nodes.target(ids=[target]))
