"""What moves a network: Algorithm 1 in minibatches, epochs and rounds, and the folder that keeps a run.

The loop runs the equations as they are read, or `fast`, which writes the same bytes sooner.
"""
