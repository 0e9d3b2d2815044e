"""The arrows between the rooms hold (pyproject.toml), and breaking one would be noticed."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CONTRACTS = [
    contract["name"]
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
]
# A line for each contract, in the file that must not have it.
FORBIDDEN = {
    "The rooms import one way": ("codes/format.py", "import scanner.service.problems"),
    "Only ledger and queue know of Redis": ("service/batcher.py", "import redis"),
    "The ledger knows nothing of HTTP; codes, campaigns and identity do no I/O": (
        "ledger/lots.py",
        "from aiohttp import web",
    ),
    "No I/O below the ledger": ("identity/tokens.py", "def late():\n    import socket"),
}


def lint(directory):
    """The exit code, and whether each contract was kept."""
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [linter, "--no-cache"],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
        env={"COLUMNS": "200"},
    )
    found = re.findall(r"^(.+) (KEPT|BROKEN)\b", done.stdout, re.MULTILINE)
    assert found, done.stdout + done.stderr
    return done.returncode, {name: state == "KEPT" for name, state in found}


@pytest.fixture
def copy(tmp_path):
    """A copy of the package that may be spoilt."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(
        ROOT / "scanner", tmp_path / "scanner", ignore=shutil.ignore_patterns("*.so", "__pycache__")
    )
    return tmp_path


def test_the_rooms_import_one_way():
    assert lint(ROOT) == (0, dict.fromkeys(CONTRACTS, True))


def test_every_contract_notices_a_forbidden_import(copy):
    assert set(FORBIDDEN) == set(CONTRACTS)
    for file, line in FORBIDDEN.values():
        with (copy / "scanner" / file).open("a", encoding="utf-8") as source:
            source.write(f"\n{line}\n")
    assert lint(copy) == (1, dict.fromkeys(CONTRACTS, False))


def test_one_forbidden_import_is_enough(copy):
    with (copy / "scanner" / "codes" / "format.py").open("a", encoding="utf-8") as source:
        source.write("\nimport scanner.service\n")
    assert lint(copy) == (1, dict.fromkeys(CONTRACTS, True) | {"The rooms import one way": False})
