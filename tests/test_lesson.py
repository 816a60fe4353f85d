"""What lessons show is the source that runs."""

from bnn_ref import lesson
from bnn_ref.kernels import loops, reference
from bnn_ref.ops import binarize


def test_sources_are_printed_in_the_order_asked(capsys):
    lesson.show(binarize.sign_backward, loops._loops, reference, binarize.sign)
    printed = capsys.readouterr().out
    sources = "def sign_backward(", "@jit\ndef _loops(", reference.__doc__, "def sign("
    places = [printed.index(text) for text in sources]
    assert places == sorted(places) and places[0] == 0
    assert "ESTIMATOR" in printed
