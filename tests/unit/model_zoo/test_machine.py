"""Machine limits read from planted control-group trees, and sizes written by people."""

import contextlib
import gc
import os
import platform
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_zoo import machine
from model_zoo.errors import InvalidOption
from model_zoo.machine import uncollected


def plant(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_without_control_groups_the_physical_machine_counts(tmp_path):
    assert machine.memory_limit_bytes(tmp_path) == psutil.virtual_memory().total
    assert 0 < machine.memory_available_bytes(tmp_path) <= psutil.virtual_memory().total
    assert machine.n_threads(tmp_path) == len(os.sched_getaffinity(0))


def test_cgroup_v2_limit_of_a_parent_group_wins(tmp_path):
    root = plant(
        tmp_path,
        {
            "proc/self/cgroup": "0::/job/step\n",
            "sys/fs/cgroup/job/step/memory.max": "max\n",
            "sys/fs/cgroup/job/memory.max": "100000000\n",
            "sys/fs/cgroup/job/memory.current": "70000000\n",
            "sys/fs/cgroup/job/memory.stat": "anon 5\nactive_file 9\ninactive_file 20000000\n",
            "sys/fs/cgroup/job/step/cpu.max": "50000 100000\n",
        },
    )
    assert machine.memory_limit_bytes(root) == 100_000_000
    assert machine.memory_available_bytes(root) == 50_000_000
    assert machine.n_threads(root) == 1


def test_cgroup_v1_limit_is_read_where_the_own_group_is_hidden(tmp_path):
    # In a container the group's path is the host's and does not exist; the mount's top is the container's own group.
    root = plant(
        tmp_path,
        {
            "proc/self/cgroup": "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "64000000\n",
            "sys/fs/cgroup/memory/memory.usage_in_bytes": "30000000\n",
            "sys/fs/cgroup/memory/memory.stat": "inactive_file 1\ntotal_inactive_file 4000000\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        },
    )
    assert machine.memory_limit_bytes(root) == 64_000_000
    assert machine.memory_available_bytes(root) == 38_000_000
    assert machine.n_threads(root) == len(os.sched_getaffinity(0))


def test_use_above_the_limit_leaves_nothing_rather_than_less_than_nothing(tmp_path):
    root = plant(
        tmp_path,
        {
            "proc/self/cgroup": "0::/\n",
            "sys/fs/cgroup/memory.max": "10\n",
            "sys/fs/cgroup/memory.current": "50\n",
        },
    )
    assert machine.memory_available_bytes(root) == 0


def test_home_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("VENTRAL_HOME", str(tmp_path / "here"))
    assert machine.home() == tmp_path / "here"
    assert not machine.home().exists()
    monkeypatch.delenv("VENTRAL_HOME")
    assert machine.home().name == "ventral"


def test_disk_free_is_asked_of_the_nearest_existing_folder(tmp_path):
    assert machine.disk_free_bytes(tmp_path / "not" / "yet") == psutil.disk_usage(str(tmp_path)).free


@pytest.mark.parametrize(
    ("text", "n_bytes"),
    [
        ("4GB", 4 * 10**9),
        ("4 gib", 4 * 2**30),
        ("512M", 512 * 10**6),
        (".5kB", 500),
        ("1000000", 10**6),
        ("2T", 2 * 10**12),
    ],
)
def test_sizes_with_units(text, n_bytes):
    assert machine.parse_bytes(text) == n_bytes


@pytest.mark.parametrize("text", ["", "GB", "-4GB", "4XB", "4 G B", "0", "nan", "1e9"])
def test_sizes_that_are_not_sizes_are_refused_by_name(text):
    with pytest.raises(InvalidOption, match=r"write for example 4GB"):
        machine.parse_bytes(text)


@given(st.integers(min_value=1, max_value=10**14))
def test_a_printed_size_reads_back_within_its_rounding(n_bytes):
    assert (
        abs(machine.parse_bytes(machine.format_bytes(n_bytes)) - n_bytes)
        <= 0.051 * 1000 ** (len(str(n_bytes)) // 3) + 1
    )


PAGES = """
import ctypes, resource, sys
import numpy as np
from contextlib import nullcontext
from model_zoo.machine import reused_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.empty(64 << 20, np.uint8).fill(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

fresh = faults()
with reused_memory():
    faults()
    kept = faults()
print(fresh, kept, faults())
"""


@pytest.mark.skipif(
    sys.platform != "linux" or platform.libc_ver()[0] != "glibc", reason="only glibc keeps memory on request"
)
def test_freed_memory_is_used_again_inside_and_given_back_outside():
    environment = {**os.environ, "NUMPY_MADVISE_HUGEPAGE": "0"}
    done = subprocess.run([sys.executable, "-c", PAGES], capture_output=True, text=True, check=True, env=environment)
    fresh, kept, after = map(int, done.stdout.split())
    assert kept < 0.1 * fresh
    assert after > 0.5 * fresh


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_is_left_as_it_was(enabled):
    before = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        with uncollected():
            assert not gc.isenabled()
        assert gc.isenabled() is enabled
        with contextlib.suppress(KeyError), uncollected():
            raise KeyError
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if before else gc.disable)()
