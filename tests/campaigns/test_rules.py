"""Every scan enters every pool."""

from scanner.campaigns import compile_plan, pools_entered


def test_every_scan_enters_every_pool_in_the_files_order(base, read):
    plan = compile_plan(read(base), no=1, previous=None)
    assert [pool.id for pool in pools_entered(plan)] == ["points", "lucky", "wheel"]
