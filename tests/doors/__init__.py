"""The doors of the library: what each public function says when it is handed what it cannot use.

`calls` is the table: every public function with arguments that it takes, or why it is not there. `misuses` makes of
each such argument the wrong ones that people hand in, and judges what comes back: the right answer, or one line that
names the argument, what was expected and what came. Anything else is a fault, and so is an argument that was changed.

    python -m tests.doors                 how many misuses of each wing, and the faults
    python -m tests.doors dense_forward   those of functions with that in their name
"""
