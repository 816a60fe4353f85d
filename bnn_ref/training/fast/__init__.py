"""The training step on kernels: functions that equal the readable ones to the last bit, and what they are put into.

`steps` has the table of them and makes a network of them; a file beside it for each kind of operation.
"""
