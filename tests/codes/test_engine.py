import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import scanner
from scanner.codes import engine

ROOT = Path(scanner.__file__).parents[1]


def run(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name != "SCANNER_PURE"}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env=inherited | {"PYTHONPATH": str(ROOT)} | environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )


def test_the_native_extension_is_built():
    """Without it everything still passes, twenty times slower; so its absence must be seen."""
    if os.environ.get("SCANNER_PURE") == "1":
        pytest.skip("SCANNER_PURE=1")
    compilers = [(sysconfig.get_config_var("CC") or "cc").split()[0], "cc", "gcc", "clang"]
    if not any(map(shutil.which, compilers)):
        pytest.skip("there is no compiler to build it with")
    assert engine.NATIVE, "scanner.codes._native is missing: run `python setup.py build_ext --inplace`"
    assert engine.KeyTable.__module__ == "scanner.codes._native"


def test_a_missing_extension_is_said_once_and_loudly():
    done = run(
        "import sys\n"
        "sys.modules['scanner.codes._native'] = None\n"
        "from scanner.codes import KeyTable, engine, keyring, mint, verify\n"
        "print(engine.NATIVE, KeyTable.__module__)\n"
    )
    assert done.stdout.split() == ["False", "scanner.codes._pure"]
    assert done.stderr.count("verified in pure Python, about 20 times slower") == 1
    assert "install a C compiler" in done.stderr


def test_scanner_pure_takes_the_pure_twin_without_a_word():
    done = run(
        "from scanner.codes import NATIVE, KeyTable; print(NATIVE, KeyTable.__module__)", SCANNER_PURE="1"
    )
    assert done.stdout.split() == ["False", "scanner.codes._pure"]
    assert done.stderr == ""
