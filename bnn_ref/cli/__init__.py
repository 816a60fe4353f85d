"""What a user types, `bnn-ref COMMAND`: one file a command, and what they share.

Whatever a user may get wrong ends in one line that says what to do.
"""
