"""`python -m bnn_ref` is the program `bnn-ref`."""

import sys

from .cli.main import main

if __name__ == "__main__":
    sys.exit(main())
