"""Reads the pickled batches of CIFAR-10 as data: nothing that a pickle asks for is imported, called or made.

`pickle` is a machine that does what the file says, and so much that NumPy's own objects can be told is enough to end
the process. These files need few of its instructions; here those leave notes, and an array is made of its bytes.
"""

import pickletools
from dataclasses import dataclass

import numpy as np

NAMES = ("numpy.core.multiarray _reconstruct", "numpy ndarray", "numpy dtype")     # what arrays are made with


@dataclass(frozen=True)
class Name:
    """A name that the file asks for: what stands there in place of the thing."""

    text: str


@dataclass
class Note:
    """What the file wants to be made: by calling a name with arguments, and then given a state."""

    name: Name
    arguments: tuple
    state: tuple = ()


def parse(content, largest):
    """The value in the bytes of a pickle: dicts, lists, tuples, text, whole numbers, Notes.

    Text of Python 2, its bytes too, is str here, a character a byte (Latin-1). Raises ValueError for any other opcode,
    for a name that no array needs, for damage, and for more than `largest` opcodes; nothing larger than the content is
    made.
    """
    stack, marks, memo = [], [], {}
    try:
        for number, (opcode, argument, _) in enumerate(pickletools.genops(content)):
            if number == largest:
                raise ValueError(f"has more than {largest} opcodes")
            _step(opcode.name, argument, stack, marks, memo)
        value, = stack
    except (IndexError, KeyError, TypeError, AttributeError) as error:       # nothing there, or something else
        raise ValueError(f"{type(error).__name__}: {error}") from None
    return value


def _step(name, argument, stack, marks, memo):
    match name:
        case "PROTO" | "STOP":
            pass
        case "BININT" | "BININT1" | "BININT2" | "SHORT_BINSTRING" | "BINSTRING" | "BINUNICODE":
            stack.append(argument)
        case "NONE" | "NEWTRUE" | "NEWFALSE":
            stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[name])
        case "EMPTY_DICT" | "EMPTY_LIST" | "EMPTY_TUPLE":
            stack.append({"EMPTY_DICT": {}, "EMPTY_LIST": [], "EMPTY_TUPLE": ()}[name])
        case "BINPUT" | "LONG_BINPUT":
            memo[argument] = stack[-1]
        case "BINGET" | "LONG_BINGET":
            stack.append(memo[argument])
        case "MARK":
            marks.append(len(stack))
        case "TUPLE1" | "TUPLE2" | "TUPLE3":
            stack.append(tuple(_take(stack, len(stack) - int(name[-1]))))
        case "TUPLE":
            stack.append(tuple(_take(stack, marks.pop())))
        case "APPEND":
            value = stack.pop()
            stack[-1].append(value)
        case "APPENDS":
            values = _take(stack, marks.pop())
            stack[-1].extend(values)
        case "SETITEM" | "SETITEMS":
            values = _take(stack, len(stack) - 2 if name == "SETITEM" else marks.pop())
            for key, value in zip(values[::2], values[1::2], strict=True):
                stack[-1].update({_text(key): value})
        case "GLOBAL":
            if argument not in NAMES:
                raise ValueError(f"asks for {argument!r}, which is never loaded")
            stack.append(Name(argument.split()[1]))
        case "REDUCE":
            function, arguments = _take(stack, len(stack) - 2)
            stack.append(Note(function, arguments))
        case "BUILD":
            state = stack.pop()
            stack[-1].state = state
        case _:
            raise ValueError(f"has the opcode {name}, which these files do not have")


def _take(stack, start):
    """The values from `start` on, which leave the stack."""
    if not 0 <= start <= len(stack):
        raise ValueError("takes more values than it gave")
    values = stack[start:]
    del stack[start:]
    return values


def _text(key):
    if not isinstance(key, str):      # a tuple in tuples would be hashed level by level, as deep as the file likes
        raise ValueError(f"has a key that is no text but {type(key).__name__}")
    return key


def pixels(note):
    """The two-dimensional uint8 array that a Note stands for. Raises ValueError for anything else."""
    match note:
        case Note(Name("_reconstruct"), (Name("ndarray"), (0,), "b"),
                  (1, (int(rows), int(columns)), Note(Name("dtype"), (dtype, 0, 1)), bool(fortran), str(content))):
            pass
        case _:
            came = "an array of another kind" if isinstance(note, Note) else type(note).__name__
            raise ValueError(f"expected a two-dimensional array, got {came}")
    if dtype != "u1":
        raise ValueError(f"expected an array of 'u1', got {dtype!r}")
    if min(rows, columns) < 0 or rows * columns != len(content):
        raise ValueError(f"claims {rows} x {columns} pixels and has {len(content)}")
    return np.frombuffer(content.encode("latin-1"), np.uint8).reshape((rows, columns), order="F" if fortran else "C")
