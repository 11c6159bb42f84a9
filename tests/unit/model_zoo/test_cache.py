"""The content-addressed store: whole entries or none, whatever happens meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from model_zoo import cache
from model_zoo.errors import ResourceError

ARRAYS = {"matrix": np.arange(12.0).reshape(3, 4), "n_features": np.array(7)}


def test_what_is_stored_comes_back(tmp_path: Path):
    key = cache.content_key("a", 1)
    assert cache.load(tmp_path, key) is None
    cache.store(tmp_path, key, ARRAYS, {"layer": "conv1"})
    loaded = cache.load(tmp_path, key)
    assert loaded is not None
    assert set(loaded) == set(ARRAYS)
    np.testing.assert_array_equal(loaded["matrix"], ARRAYS["matrix"])
    (entry,) = cache.list_entries(tmp_path)
    assert (entry.key, entry.meta) == (key, {"layer": "conv1"})


def test_keys_do_not_run_together():
    assert cache.content_key("ab", "c") != cache.content_key("a", "bc")


@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_damaged_entry_is_no_entry(tmp_path: Path, damage: str):
    key = cache.content_key("x")
    path = cache.store(tmp_path, key, {"matrix": np.random.default_rng(0).normal(size=(50, 50))}, {})
    data = path.read_bytes()
    middle = len(data) // 2
    flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
    path.write_bytes({"flip": flipped, "cut": data[:middle], "empty": b""}[damage])
    assert [sound for _, sound in cache.verify(tmp_path)] == [False]
    assert cache.load(tmp_path, key) is None
    assert not path.exists()


def test_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(cache, "write_array", full)
    with pytest.raises(ResourceError, match=r"No space left on device.*ventral cache prune"):
        cache.store(tmp_path, cache.content_key("x"), ARRAYS, {})
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_prune_removes_the_least_recently_used_first(tmp_path: Path):
    keys = [cache.content_key(number) for number in range(3)]
    for age, key in zip((300, 100, 200), keys, strict=True):
        path = cache.store(tmp_path, key, ARRAYS, {})
        os.utime(path, (time.time() - age, time.time() - age))
    size = cache.list_entries(tmp_path)[0].n_bytes
    removed = cache.prune(tmp_path, max_bytes=2 * size)
    assert [entry.key for entry in removed] == [keys[0]]
    cache.load(tmp_path, keys[2])  # use makes it recent
    assert [entry.key for entry in cache.prune(tmp_path, max_bytes=size)] == [keys[1]]
    assert [entry.key for entry in cache.prune(tmp_path, older_than_days=0)] == [keys[2]]


_WRITE_AND_READ = """
import sys
from pathlib import Path
import numpy as np
from model_zoo import cache
root, key = Path(sys.argv[1]), sys.argv[2]
for _ in range(40):
    cache.store(root, key, {"matrix": np.full((200, 200), 3.0)}, {})
    assert (cache.load(root, key)["matrix"] == 3.0).all()
"""


def test_processes_share_an_entry(tmp_path: Path):
    key = cache.content_key("shared")
    command = [sys.executable, "-c", _WRITE_AND_READ, str(tmp_path), key]
    writers = [subprocess.Popen(command) for _ in range(2)]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0]
    assert len(list(tmp_path.rglob("*.npz"))) == 1
