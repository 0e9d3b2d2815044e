"""A consumer and what it is made of, from the commands that it sends up to the loop that it is used by.

``partition`` has the commands, ``hands`` what this consumer has got and not given back; ``intake`` keeps it
supplied, ``handout`` and ``dispatch`` give events to a loop or to a handler, and ``consumer`` is its face.
``letter`` and ``letters`` are the dead letters: what one looks like, and what an operator does with them.
"""
