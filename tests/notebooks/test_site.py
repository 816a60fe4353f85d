"""The site builds without a warning, shows every lesson and module, and no link in it leads nowhere; so does Binder's
recipe.
"""

import configparser
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[2]
LESSONS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
MODULES = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
           for path in sorted((ROOT / "bnn_ref").rglob("*.py")) if path.stem != "__main__"]


class Page(HTMLParser):
    """The addresses in a page, and what it links to."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.links = set(), []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name == "id":
                self.ids.add(value)
            elif name in ("href", "src") and value:
                self.links.append(value)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    missing = [name for name in ("sphinx", "myst_nb", "furo") if find_spec(name) is None]
    if missing:
        pytest.skip(f"the site needs {' and '.join(missing)}: pip install \".[site]\"")
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-c", "notebooks/site", ".", str(out)]
    run = subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONUTF8": "1"}, capture_output=True, text=True,
                         encoding="utf-8")
    assert run.returncode == 0, run.stderr
    return out


@pytest.fixture(scope="module")
def pages(site):
    return {path: Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}


def test_every_lesson_is_a_page_and_no_solution_is(site, pages):
    notebooks = site / "notebooks"
    assert {notebooks / f"{path.stem}.html" for path in LESSONS} == set(notebooks.glob("[0-9]*.html"))
    assert {path.name for path in pages if "course" in path.relative_to(site).parts} == {"README.html"}


def test_every_module_has_its_place(site, pages):
    reference = [pages[path].ids for path in site.glob("notebooks/site/*.html")]
    for module in MODULES:
        assert sum(f"module-{module}" in ids for ids in reference) == 1, module


def test_a_compiled_kernel_has_its_signature_and_docstring(site):
    text = (site / "notebooks" / "site" / "kernels.html").read_text(encoding="utf-8")
    shown = re.search(r'<dt class="sig sig-object py" id="bnn_ref\.kernels\.panels\._fill">(.*?)</dd>', text, re.S)[1]
    words = " ".join(re.sub(r"<.*?>", " ", shown).split())
    assert "panels , b , columns , start , stop" in words
    assert "0 past the last row of b" in words


def test_one_search_finds_lessons_and_functions(site):
    text = (site / "searchindex.js").read_text(encoding="utf-8")
    index = json.loads(text.removeprefix("Search.setIndex(").removesuffix(")"))
    functions = [entry[-1] for entry in index["objects"]["bnn_ref.ops.binarize"]]
    assert "sign_backward" in functions
    found = set()
    for terms in (index["terms"], index["titleterms"]):
        pages = terms.get("popcount", [])                                           # a page, or a list of them
        found.update(index["docnames"][page] for page in (pages if isinstance(pages, list) else [pages]))
    assert "notebooks/site/kernels" in found
    assert any(name.startswith("notebooks/17_") for name in found)


def test_a_docstring_links_to_the_equation_that_it_names(site, pages):
    lesson = next(path for path in LESSONS if r"\\tag{BNN-1}" in path.read_text(encoding="utf-8"))
    assert "equation-bnn-1" in pages[site / "notebooks" / f"{lesson.stem}.html"].ids
    assert f"../{lesson.stem}.html#equation-bnn-1" in pages[site / "notebooks" / "site" / "ops.html"].links


def test_an_equation_with_a_tag_is_not_split(pages):
    for path in pages:
        assert r"\begin{split}" not in path.read_text(encoding="utf-8"), path      # MathJax refuses a tag in it


def test_no_link_leads_nowhere(site, pages):
    count = 0
    for path, page in pages.items():
        for link in page.links:
            url = urlsplit(link)
            if url.scheme or url.netloc:
                continue
            target = Path(os.path.normpath(path.parent / unquote(url.path))) if url.path else path
            where = f"{path.relative_to(site)}: {link}"
            assert target.is_file(), where
            assert not url.fragment or target not in pages or unquote(url.fragment) in pages[target].ids, where
            count += 1
    assert count > 1000
    assert not (site / "_downloads").exists(), "a link to a source file copies it, in place of leading to its reference"


def test_the_address_of_the_site_shows_the_readme(site):
    """With its picture, as a file of the site."""
    text = (site / "index.html").read_text(encoding="utf-8")
    assert "Two commands" in text
    picture = re.search(r'<img alt="[^"]+" src="(_images/[^"]*\.svg)"', text)[1]
    assert (site / picture).read_bytes() == (ROOT / "notebooks" / "front_page.svg").read_bytes()


def test_every_wing_is_a_page_of_the_reference():
    """Of a folder, the folder itself comes first; what stands beside the folders shares two pages."""
    wings = {path.parent.name for path in (ROOT / "bnn_ref").glob("*/__init__.py")}
    reference = {path.stem: re.findall(r"^   (\w[\w.]*)$", path.read_text(encoding="utf-8"), re.M)
                 for path in (ROOT / "notebooks" / "site").glob("*.rst")}
    assert set(reference) == wings | {"gradients", "files"}
    for name, modules in reference.items():
        if name in wings:
            assert modules[0] == name and all(module.startswith(f"{name}.") for module in modules[1:])


def test_pages_of_figures_and_of_the_project_are_there(site):
    for page in ("results", "speed", "contributing", "site/history"):
        assert f'href="notebooks/{page}.html"' in (site / "index.html").read_text(encoding="utf-8")
        assert (site / "notebooks" / f"{page}.html").is_file()


def test_binder_installs_what_the_lessons_need():
    """repo2docker reads these two files, and of this project nothing else: setup.cfg is no package to it."""
    (requirement,) = [line for line in (ROOT / "binder" / "requirements.txt").read_text(encoding="utf-8").splitlines()
                      if not line.startswith("#")]
    extra = re.fullmatch(r"-e \.\[(\w+)\]", requirement)[1]
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    assert extra in setup["options.extras_require"]
    major, minor = re.fullmatch(r"python-(\d)\.(\d+)\n", (ROOT / "binder" / "runtime.txt").read_text()).groups()
    workflow = (ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8")
    assert f'"{major}.{minor}"' in workflow                                          # one that the tests run on
