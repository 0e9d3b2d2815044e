"""Builds scanner.codes._native from native/; everything else stands in pyproject.toml."""

import sys

from Cython.Build import cythonize
from setuptools import Extension, setup

native = Extension(
    "scanner.codes._native",
    ["native/_native.pyx", "native/codes.c"],
    include_dirs=["native"],
    depends=["native/codes.h"],
    extra_compile_args=[] if sys.platform == "win32" else ["-O3", "-std=c11", "-Wall", "-Wextra"],
)
[extension] = cythonize([native], language_level=3, compiler_directives={"embedsignature": True})
# The pure twin serves where there is no compiler, so a failed build must not fail the install.
# Said here and not above, because cythonize makes a new Extension and forgets it.
extension.optional = True

setup(ext_modules=[extension])
