"""Mints that are interrupted, gone on with, or in each other's way."""

import contextlib
import os
import random
import resource
import signal
import stat
import subprocess
import sys
import time

import pytest
from rich.progress import Progress

from scanner.cli.minting import CHUNK, _Rate, part_of
from scanner.codes import NATIVE
from tests.brand import PRODUCT

COUNT = 3 * CHUNK + 1_000
LARGE = (80 if NATIVE else 8) * CHUNK  # codes that take some tenths of a second, or a few seconds
TIMEOUT_S = 60


@pytest.fixture
def process(data_dir):
    """Starts ``scanner`` as a process of its own."""
    started = []

    def start(*arguments, **options):
        command = [sys.executable, "-m", "scanner", "--data-dir", data_dir, *arguments]
        pipe = subprocess.PIPE
        started.append(
            subprocess.Popen([str(part) for part in command], stdout=pipe, stderr=pipe, text=True, **options)
        )
        return started[-1]

    yield start
    for each in started:
        each.kill()
        each.communicate()


@pytest.fixture
def new(campaign, tmp_path):
    """What a new lot's mint is asked for."""

    def options(*more, count=COUNT, out="codes"):
        return [
            "--campaign",
            campaign(),
            "--product",
            PRODUCT,
            "--count",
            count,
            "--out",
            tmp_path / out,
            *more,
        ]

    return options


@pytest.fixture
def part(tmp_path):
    return tmp_path / ".codes.part"


def lots(scanner):
    return [lot["lot"] for lot in scanner("lot", "list", "--json").json]


def limited(size_max):
    """As a full disk does: no file grows past so many bytes."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size_max, size_max))


def end_half_way(start, part, sent):
    """Sends the signal when the part has reached a random size; what the process said, and the size."""
    for _ in range(100):
        target = random.randrange(1, LARGE * 25 // 4)
        running = start()
        deadline = time.monotonic() + TIMEOUT_S
        while running.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(FileNotFoundError):
                if part.stat().st_size >= target:
                    running.send_signal(sent)
                    break
        said = running.communicate(timeout=TIMEOUT_S)
        if part.exists():
            return running.returncode, said, part.stat().st_size
        part.with_name("codes").unlink()  # it was done before the signal came: another try
    raise AssertionError("every mint was done before its signal came")


@pytest.mark.parametrize("form", ["text", "csv", "jsonl"])
def test_after_a_kill_the_file_is_gone_on_with(scanner, process, new, part, tmp_path, form):
    url = ["--url", "https://s.example/c/"]
    assert scanner("lot", "mint", *new("--format", form, *url, count=LARGE, out="whole")).code == 0
    no = lots(scanner)[-1]
    again = ["lot", "mint", "--again", no, "--out", tmp_path / "codes", "--format", form, *url]
    code, _, size = end_half_way(lambda: process(*again), part, signal.SIGKILL)
    assert code == -signal.SIGKILL
    done = scanner(*again)
    assert done.code == 0
    assert (tmp_path / "codes").read_bytes() == (tmp_path / "whole").read_bytes(), f"killed at {size} bytes"
    assert stat.S_IMODE((tmp_path / "codes").stat().st_mode) == 0o600
    assert f"lot {no}: " in done.err
    assert "were there already, and are right; going on after them" in done.err
    assert not part.exists()


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_after_ctrl_c_the_same_command_goes_on_with_the_same_lot(scanner, process, new, part, tmp_path, sent):
    options = new(count=LARGE)
    before = lots(scanner)
    code, (out, err), _ = end_half_way(lambda: process("lot", "mint", *options), part, sent)
    begun = lots(scanner)
    no = begun[-1]
    assert len(begun) > len(before)
    assert (code != 0, out) == (True, "")
    assert (
        f"lot {no} is registered: go on with `scanner lot mint --again {no} --out {tmp_path / 'codes'}`"
        in err
    )
    assert scanner("lot", "mint", *options).out.startswith(f"lot {no}: {LARGE:,} codes in ")
    assert lots(scanner) == begun
    assert scanner("lot", "mint", "--again", no, "--out", tmp_path / "again").code == 0
    assert (tmp_path / "codes").read_bytes() == (tmp_path / "again").read_bytes()


@pytest.mark.parametrize("size", [5_000, CHUNK * 25, CHUNK * 25 + 10, COUNT * 25 - 1])
def test_after_a_full_disk_the_command_that_is_named_goes_on(scanner, process, new, part, tmp_path, size):
    full = process("lot", "mint", *new(), preexec_fn=limited(size))
    _, err = full.communicate(timeout=TIMEOUT_S)
    no = lots(scanner)[-1]
    assert full.returncode == 1
    assert err == (
        f"scanner: {tmp_path / 'codes'} could not be written (File too large); lot {no} is registered: "
        f"go on with `scanner lot mint --again {no} --out {tmp_path / 'codes'}`\n"
    )
    assert part.stat().st_size == size
    done = scanner("lot", "mint", "--again", no, "--out", tmp_path / "codes")
    there = size // 25 // CHUNK * CHUNK
    assert done.err == f"lot {no}: {there:,} codes were there already, and are right; going on after them\n"
    assert scanner("lot", "mint", "--again", no, "--out", tmp_path / "again").err == ""
    assert (tmp_path / "codes").read_bytes() == (tmp_path / "again").read_bytes()


def test_the_command_that_is_named_has_the_form_and_the_prefix(scanner, process, new, tmp_path):
    options = new("--format", "csv", "--url", "https://s.example/?a=1&c=")
    full = process("lot", "mint", *options, preexec_fn=limited(10_000))
    _, err = full.communicate(timeout=TIMEOUT_S)
    assert err.endswith(f"--out {tmp_path / 'codes'} --format csv --url 'https://s.example/?a=1&c='`\n")
    assert scanner("lot", "mint", *options).code == 0


@pytest.fixture
def whole(scanner, new, tmp_path):
    """A lot's number and the bytes of its file."""
    assert scanner("lot", "mint", *new(out="whole")).code == 0
    return lots(scanner)[-1], (tmp_path / "whole").read_bytes()


def test_a_part_that_is_whole_only_gets_its_name(scanner, whole, part, tmp_path):
    no, data = whole
    part.write_bytes(data)
    assert scanner("lot", "mint", "--again", no, "--out", tmp_path / "codes").err == ""
    assert (tmp_path / "codes").read_bytes() == data
    assert stat.S_IMODE((tmp_path / "codes").stat().st_mode) == 0o600


@pytest.mark.parametrize("place", [CHUNK * 25 - 1, CHUNK * 25, 2 * CHUNK * 25 + 7, COUNT * 25 - 1])
def test_what_a_power_cut_left_wrong_is_written_anew(scanner, whole, part, tmp_path, place):
    no, data = whole
    if place < CHUNK * 25:
        part.write_bytes(data[:place])
    else:
        part.write_bytes(data[:place] + bytes(len(data) - place))
    done = scanner("lot", "mint", "--again", no, "--out", tmp_path / "codes")
    assert f" {place // 25 // CHUNK * CHUNK:,} codes were there" in done.err
    assert (tmp_path / "codes").read_bytes() == data


def test_a_part_that_is_too_long_is_cut(scanner, whole, part, tmp_path):
    no, data = whole
    part.write_bytes(data + b"more")
    assert scanner("lot", "mint", "--again", no, "--out", tmp_path / "codes").code == 0
    assert (tmp_path / "codes").read_bytes() == data


@pytest.mark.parametrize("left", [b"mine\n", b"code,gs1,lot,serial\n", bytes(5_000)])
def test_a_part_of_something_else_is_refused_and_left(scanner, whole, new, part, tmp_path, left):
    no, _ = whole
    part.write_bytes(left)
    done = scanner("lot", "mint", "--again", no, "--out", tmp_path / "codes")
    assert done.refused(str(part), "was begun with other codes", "or remove it")
    before = lots(scanner)
    assert scanner("lot", "mint", *new()).refused(str(part), "holds no codes of these keys: remove it")
    assert (lots(scanner), part.read_bytes()) == (before, left)
    assert not (tmp_path / "codes").exists()


def test_a_part_of_another_form_or_prefix_is_refused_and_left(scanner, whole, part, tmp_path):
    no, data = whole
    part.write_bytes(data[:10_000])
    again = ["lot", "mint", "--again", no, "--out", tmp_path / "codes"]
    for other in (["--format", "csv"], ["--format", "jsonl"], ["--url", "https://s.example"]):
        assert scanner(*again, *other).refused(
            "in another form: give the --format and --url it was begun with"
        )
    assert part.read_bytes() == data[:10_000]


@pytest.mark.parametrize("change", [{"count": COUNT + 1}, {"more": ["--pin", "--format", "csv"]}])
def test_a_part_of_another_lot_is_refused_and_names_it(scanner, whole, new, part, change):
    no, data = whole
    part.write_bytes(data[:10_000])
    before = lots(scanner)
    done = scanner("lot", "mint", *new(*change.get("more", ()), count=change.get("count", COUNT)))
    assert done.refused(
        f"codes of lot {no}, whose mint was interrupted", f"scanner lot mint --again {no} --out"
    )
    assert (lots(scanner), part.read_bytes()) == (before, data[:10_000])


def test_a_part_that_is_a_link_is_refused(scanner, new, part, tmp_path):
    (tmp_path / "mine").write_bytes(b"")
    part.symlink_to(tmp_path / "mine")
    before = lots(scanner)
    assert scanner("lot", "mint", *new()).refused(f"{part} cannot be written")
    assert lots(scanner) == before


def test_a_directory_that_cannot_be_written_into_leaves_no_lot(scanner, new, tmp_path):
    (tmp_path / "full").mkdir()
    before = lots(scanner)
    name = "x" * 300
    assert scanner("lot", "mint", *new(out=name)).refused("cannot be written (File name too long)")
    assert lots(scanner) == before


def test_a_file_that_another_mint_is_writing_is_refused_and_leaves_no_lot(scanner, new, part, tmp_path):
    before = lots(scanner)
    with part_of(tmp_path / "codes"):
        assert scanner("lot", "mint", *new()).refused(
            f"{tmp_path / 'codes'} is being written by another mint"
        )
        assert part.exists()
    assert lots(scanner) == before
    assert not part.exists()


def test_of_mints_to_one_file_at_once_one_writes_it(scanner, process, new, tmp_path):
    before = lots(scanner)
    options = new(count=COUNT)
    ends = [
        (each.communicate(timeout=TIMEOUT_S), each.returncode)
        for each in [process("lot", "mint", *options) for _ in range(4)]
    ]
    assert sorted(code for _, code in ends) == [0, 1, 1, 1]
    for (_, err), code in ends:
        assert code == 0 or "is being written by another mint" in err or "exists already" in err
    no = lots(scanner)[-1]
    assert len(lots(scanner)) == len(before) + 1
    assert scanner("lot", "mint", "--again", no, "--out", tmp_path / "again").code == 0
    assert (tmp_path / "codes").read_bytes() == (tmp_path / "again").read_bytes()


@pytest.mark.parametrize(
    "known",
    [["--campaign", "spring"], ["--product", PRODUCT], ["--count", "5"], ["--pin", "--format", "csv"]],
)
def test_again_takes_nothing_that_the_lot_knows(scanner, mint, tmp_path, known):
    no, _ = mint()
    done = scanner("lot", "mint", "--again", no, "--out", tmp_path / "x", *known)
    assert done.misused("leave out --campaign, --product")
    assert not (tmp_path / "x").exists()


def test_a_terminal_sees_how_many_codes_a_second():
    now_s = 0.0
    bar = Progress(get_time=lambda: now_s)
    bar.add_task("minting", total=10_000)
    [task] = bar.tasks
    assert str(_Rate().render(task)) == ""
    for _ in range(3):
        now_s += 1
        bar.advance(task.id, 2_500)
    assert str(_Rate().render(task)) == "2,500/s"


def test_a_pipe_sees_no_progress(process, new):
    running = process("lot", "mint", *new())
    assert (running.communicate(timeout=TIMEOUT_S)[1], running.returncode) == ("", 0)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
def test_a_part_of_another_user_is_refused(scanner, new, part):
    part.touch()
    os.chown(part, 65534, -1)
    before = lots(scanner)
    assert scanner("lot", "mint", *new()).refused(f"{part} is not a file of yours")
    assert lots(scanner) == before
