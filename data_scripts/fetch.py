"""Downloads one file from the first of several mirrors that has it, and goes on after an interruption.
It is plain urllib because the libraries for this (pooch, for one) cannot resume, and files have up to 1.3 GB.
"""

import contextlib
import hashlib
import http.client
import os
import urllib.error
import urllib.request
from pathlib import Path

TIMEOUT = 30  # seconds without a byte
CHUNK = 1 << 16


class FetchError(Exception):
    """No mirror delivered the file; the message is one line."""


def fetch(name, urls, sha256, size, folder, stream, notes=None):
    """The path of the file `name` in `folder`, downloaded from the first of `urls` that has it, and verified.

    sha256 (hexadecimal) and size (bytes) are those of the whole file. stream is where progress is shown; notes is
    {url: what a user should know of it}, said there when its bytes begin to come. An interruption
    (KeyboardInterrupt, a lost connection) leaves `<name>.part`, from where the next mirror or the next call goes
    on. Raises FetchError with the reason of each mirror, OSError where the folder cannot be used.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    target, part = folder / name, folder / f"{name}.part"
    if target.is_file() and checksum(target) == sha256:
        return target
    reasons = []
    for url in urls:
        try:
            _fetch_verified(url, part, sha256, size, stream, (notes or {}).get(url))
        except (OSError, http.client.HTTPException, FetchError) as error:
            reasons.append(f"{url}: {error or type(error).__name__}")
        else:
            os.replace(part, target)
            return target
    raise FetchError(f"no mirror delivered {name} ({'; '.join(reasons)}); --from DIR takes local files")


def _fetch_verified(url, part, sha256, size, stream, note):
    """Complete `part` from `url`. Raises FetchError, and removes `part`, where the checksum is wrong."""
    resumed = part.exists()
    _download(url, part, size, stream, note)
    if checksum(part) == sha256:
        return
    part.unlink()
    if not resumed:
        raise FetchError("wrong sha256, not the official file")
    _fetch_verified(url, part, sha256, size, stream, note)  # the bytes of before may be the bad ones: from zero


def _download(url, part, size, stream, note):
    """Append to `part` what is missing of `size` bytes. Raises FetchError where the server differs."""
    have = part.stat().st_size if part.exists() else 0
    if have == size:
        return
    wanted = {"Range": f"bytes={have}-"} if 0 < have < size else {}
    request = urllib.request.Request(url, headers={"User-Agent": "bnn_ref"} | wanted)
    with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
        if response.status != 206:  # the whole file comes, whatever was asked for
            have = 0
        elif not (came := response.headers.get("Content-Range", "")).startswith(f"bytes {have}-"):
            raise FetchError(f"sent the range {came!r}, asked for the bytes from {have}")
        length = response.headers.get("Content-Length")
        if length and have + int(length) != size:  # an error page, say: keep the bytes of before
            raise FetchError(f"has {have + int(length)} bytes, expected {size}")
        mode, whole = "ab" if have else "wb", f"{size / 1e6:.1f} MB"
        if note:
            print(f"{part.stem}: {note}", file=stream, flush=True)
        with open(part, mode) as file, progress(stream, f"{part.stem}: {whole} from {url}", lambda done: (
                f"{part.stem}: {done / 1e6:.1f} of {whole}, {done * 100 // size} %")) as show:
            while have < size and (chunk := response.read(min(CHUNK, size - have))):
                file.write(chunk)
                have += len(chunk)
                show(have)
        if have < size:
            raise FetchError(f"the connection ended after {have} of {size} bytes")
        if response.read(1):
            part.unlink()
            raise FetchError(f"sends more than the expected {size} bytes")


@contextlib.contextmanager
def progress(stream, plain, live):
    """Yield show(done): a terminal gets the text live(done), on one line that is kept current, and any other stream
    gets the line `plain`, once.
    """
    if not stream.isatty():
        print(plain, file=stream, flush=True)
        yield lambda done: None
        return
    try:
        yield lambda done: print(f"\r{live(done)}", end="", file=stream, flush=True)
    finally:
        print(file=stream)


def checksum(path):
    """The sha256 of the file, hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
