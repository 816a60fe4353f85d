"""The part of a Markdown file that a command writes: what stands between `<!-- NAME -->` and `<!-- /NAME -->`."""

from pathlib import Path

from ..files import atomic_write, check_place


def around(path, name):
    """(text before, text after) the part, its two markers with them.

    Raises ValueError where the file has not one such pair of markers, is no text or cannot be written, OSError where it
    cannot be read.
    """
    check_place(path, force=True)                      # what is between the markers may be replaced
    try:
        text = Path(path).read_bytes().decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: expected a text in UTF-8 ({error})") from None
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    if (text.count(begin), rest.count(end), before.count(end)) != (1, 1, 0):
        raise ValueError(f"{path}: expected the markers {begin} and {end}, once")
    return before + begin, end + after


def read_part(path, name):
    """What stands between the markers now. Raises as `around`."""
    before, after = around(path, name)
    return Path(path).read_bytes().decode()[len(before):-len(after)].strip("\n")


def write_part(path, name, text):
    """Put `text` between the markers; all else stays as it is. Raises as `around`."""
    before, after = around(path, name)
    with atomic_write(path) as file:
        file.write(f"{before}\n{text}\n{after}".encode())
