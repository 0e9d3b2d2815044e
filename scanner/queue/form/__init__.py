"""The form of the events for other languages and other systems, all of it generated from ``events``."""
