"""Builds the native modules from native/; everything else stands in pyproject.toml."""

import sys

from Cython.Build import cythonize
from setuptools import Extension, setup

FLAGS = [] if sys.platform == "win32" else ["-O3", "-std=c11", "-Wall", "-Wextra"]
codes = Extension(
    "scanner.codes._native",
    ["native/_native.pyx", "native/codes.c", "native/lanes.c", "native/batches.c"],
    include_dirs=["native"],
    depends=["native/codes.h", "native/blake3.h", "native/lanes.h", "native/lanes_form.h"],
    extra_compile_args=FLAGS,
)
fast_lane = Extension(
    "scanner.service.fast_lane._native",
    ["native/_fast_lane.pyx", "native/head.c"],
    include_dirs=["native"],
    depends=["native/head.h", "native/reading.pxi", "native/scan.pxi", "native/writing.pxi"],
    extra_compile_args=FLAGS,
)
extensions = cythonize(
    [codes, fast_lane],
    language_level=3,
    include_path=["native"],
    compiler_directives={"embedsignature": True},
)
# Pure Python serves where there is no compiler, so a failed build must not fail the install.
# Said here and not above, because cythonize makes new Extensions and forgets it.
for extension in extensions:
    extension.optional = True

setup(ext_modules=extensions)
