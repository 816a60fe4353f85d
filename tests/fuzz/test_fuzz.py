"""Some seconds of each fuzzer; and that a fuzzer sees what it is for: every fault is found, with its seed."""

import os
import sys

import pytest

from tests.fuzz import __main__ as fuzz
from tests.fuzz import damage, harness

SECONDS = 5


@pytest.mark.parametrize("kind", fuzz.KINDS)
def test_some_seconds_of_damaged_files(kind, capsys):
    pytest.importorskip("scipy", reason="SciPy writes MAT files") if kind == "archives" else None
    assert fuzz.main([kind, "--seconds", str(SECONDS)]) == 0, capsys.readouterr().out
    assert f"{kind}: " in capsys.readouterr().out


# Seeds that end in each of the ways; -1 is the one before all, at which nothing may go wrong.
ATTEMPT = """
import os, random, sys, time
from pathlib import Path
from tests.fuzz import harness

seed = {random.Random(seed).random(): seed for seed in range(-1, 20)}
held = []

def attempt(rng, folder):
    number = seed[rng.random()]
    if number == 3:
        raise harness.WrongError("another picture")
    if number == 5:
        os.kill(os.getpid(), 11) if os.name != "nt" else os._exit(3)
    if number == 7:
        time.sleep(1000)
    if number == 9:
        [][1]
    if number == 11:
        sys.exit("no more")
    if number == 13:
        held.append(bytearray(os.urandom(1 << 20) * 50))
    return "refused"

harness.ROOM = 20 << 20
harness.work(attempt, 1000, int(sys.argv[1]))
"""


def test_every_fault_is_found_with_its_seed_and_the_next_seed_follows(monkeypatch):
    monkeypatch.setattr(harness, "HANG", 10)
    outcomes, faults = harness.hunt([sys.executable, "-c", ATTEMPT], 0, 600, 16)
    said = {fault.seed: fault.what for fault in faults}
    assert said[3] == "WrongError: another picture (<string>:12)"
    assert said[5].startswith("the process ends with " + ("SIGSEGV" if os.name != "nt" else "status 3"))
    assert said[7] == "hangs for 10 s"
    assert said[9] == "IndexError: list index out of range (<string>:18)"
    assert said[11] == "the process ends with status 1: no more"
    if harness.resource:
        assert said.pop(13).endswith(" bytes, 1000 would be honest")
    assert sorted(said) == [3, 5, 7, 9, 11]
    assert sum(outcomes.values()) + len(faults) == 16 and set(outcomes) == {"refused"}


def test_a_seed_is_one_file(monkeypatch, capsys):
    """What is printed makes it again: the same fault of the same seed, begun there or before."""
    monkeypatch.setattr(harness, "HANG", 10)
    command = [sys.executable, "-c", ATTEMPT]
    for first, count in ((9, 1), (8, 3)):
        assert [fault.seed for fault in harness.hunt(command, first, 600, count)[1]] == [9]
    outcomes, faults = harness.hunt(command, 0, 0, 100)
    assert not outcomes and not faults


def test_the_command_says_how_to_make_a_fault_again(monkeypatch, capsys):
    faults = [harness.Fault(7, "WrongError: other data")]
    monkeypatch.setattr(harness, "hunt", lambda command, first, seconds, count: ({"refused": 3000}, faults))
    assert fuzz.main(["npz", "--seed", "5"]) == 1
    first, again, last = capsys.readouterr().out.splitlines()
    assert (first, again) == ("npz: seed 7: WrongError: other data",
                              "  again: python -m tests.fuzz npz --seed 7 --count 1")
    assert last.startswith("npz: 3,001 files from seed 5: 3,000 refused, 1 faults; ")


def test_damage_changes_bytes_of_every_kind_of_place():
    import random

    content = bytes(range(256)) * 4
    made = [damage.damage(random.Random(seed), content) for seed in range(500)]
    assert made == [damage.damage(random.Random(seed), content) for seed in range(500)]
    assert sum(one != content for one in made) > 450
    assert {len(one) < len(content) for one in made} == {True, False} and max(map(len, made)) > len(content)
    assert all(damage.damage(random.Random(seed), b"") is not None for seed in range(50))
