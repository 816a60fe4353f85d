"""A trained network on bits, equal to its float form in every bit: pack it, save it, load it, ask it.

    from bnn_ref.packed import pack_network, load_packed, save_packed, predict, predict_labels
"""

from .convert import pack_network
from .file import PackedError, load_packed, save_packed
from .inference import predict, predict_labels
from .layers import PackedNetwork, describe

__all__ = ["PackedError", "PackedNetwork", "describe", "load_packed", "pack_network", "predict", "predict_labels",
           "save_packed"]
