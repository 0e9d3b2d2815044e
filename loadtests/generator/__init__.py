"""A lean HTTP/1.1 generator for prepared requests, in closed or open loop."""

from loadtests.generator.drive import drive
from loadtests.generator.outcome import Outcome

__all__ = ["Outcome", "drive"]
