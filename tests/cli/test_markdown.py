"""The part of a Markdown file between two markers: written anew, and not one byte else."""

import pytest

from bnn_ref.cli import markdown


@pytest.fixture
def file(tmp_path):
    return tmp_path / "notes.md"


def test_the_part_is_written_and_the_rest_is_kept(file):
    before, after = "# a é\r\n\n<!-- a b -->", "<!-- /a b -->\n\nmore <!-- c -->\n"
    for old in ("", "\nold\nlines\n"):
        file.write_bytes((before + old + after).encode())
        markdown.write_part(file, "a b", r"new \1 \g<2>")
        assert file.read_bytes() == (before + "\n" + r"new \1 \g<2>" + "\n" + after).encode()
        assert markdown.around(file, "a b") == (before, after)


@pytest.mark.parametrize("content", [
    "none", "<!-- a -->", "<!-- /a -->", "<!-- /a --> <!-- a -->", "<!-- /a --> <!-- a --> <!-- /a -->",
    "<!-- a --> <!-- a --> <!-- /a -->", "<!-- a --> <!-- /a --> <!-- /a -->", "<!-- a --> <!-- /a --> <!-- a -->",
    "<!-- ab --> <!-- /ab -->"])
def test_a_file_without_one_pair_of_markers_is_left_alone(content, file):
    file.write_text(content)
    for call in (lambda: markdown.around(file, "a"), lambda: markdown.write_part(file, "a", "text")):
        with pytest.raises(ValueError, match=r"notes\.md: expected the markers <!-- a --> and <!-- /a -->, once"):
            call()
    assert file.read_text() == content


def test_a_file_that_is_not_there(file):
    with pytest.raises(FileNotFoundError):
        markdown.write_part(file, "a", "text")
    assert not file.exists()
