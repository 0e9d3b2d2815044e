"""Chooses the twin of KeyTable that runs here: the native one, else the pure one with a warning.

SCANNER_PURE=1 in the environment takes the pure one without a word; it is meant for tests.
"""

import logging
import os
from typing import TYPE_CHECKING

__all__ = ["NATIVE", "KeyTable"]

NATIVE: bool

if TYPE_CHECKING:
    from scanner.codes._native import KeyTable
elif os.environ.get("SCANNER_PURE") == "1":
    from scanner.codes._pure import KeyTable

    NATIVE = False
else:
    try:
        from scanner.codes._native import KeyTable

        NATIVE = True
    except ImportError as error:
        from scanner.codes._pure import KeyTable

        NATIVE = False
        logging.getLogger("scanner").warning(
            "codes are verified in pure Python, about 20 times slower and one thread at a time, because the "
            "native extension is missing (%s): install a C compiler and Python's headers, "
            "then reinstall scanner",
            error,
        )
        os.environ["SCANNER_PURE"] = "1"  # said once: the processes that this one starts need not repeat it
