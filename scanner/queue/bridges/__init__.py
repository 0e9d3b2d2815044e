"""Bridges: what copies a group's events to where others read them already.

``bridge.py`` is what they share, ``nats.py``, ``kafka.py`` and ``webhook.py`` are the targets, each with
rooms of its own beside it, and ``signing.py`` is how a webhook is signed, and verified by who receives it.
"""
