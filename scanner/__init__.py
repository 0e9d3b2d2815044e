"""scanner: verifies signed product codes and awards each one once."""

from importlib.metadata import version

__version__ = version("scanner")
