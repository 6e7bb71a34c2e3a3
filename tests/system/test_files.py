"""A lock ends with its process, a hash is the file's, and caches lie where the user wants them."""

import hashlib
import os
import signal
import subprocess
import sys

import pytest

from linbench.system.files import cache_dir, file_sha256, locked

HOLD = """
import sys, time
from pathlib import Path
from linbench.system.files import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_lock_is_refused_to_a_second_holder_and_free_after_the_block(tmp_path):
    path = tmp_path / ".lock"
    with locked(path), pytest.raises(BlockingIOError, match="another process holds the lock"), locked(path):
        pass
    with locked(path):
        pass


@pytest.mark.parametrize("wait", [False, True])
def test_the_lock_of_a_killed_process_is_free(tmp_path, wait):
    path = tmp_path / ".lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(BlockingIOError), locked(path):
        pass
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with locked(path, wait=wait):
        pass


def test_an_error_inside_the_block_is_not_mistaken_for_a_busy_lock(tmp_path):
    with pytest.raises(TimeoutError, match="of the block"), locked(tmp_path / ".lock"):
        raise TimeoutError("of the block")


def test_a_lock_that_cannot_be_created_is_an_error_and_not_a_busy_lock(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError) as error, locked(tmp_path / "file" / ".lock"):
        pass
    assert not isinstance(error.value, BlockingIOError)


def test_the_hash_is_sha256_of_the_whole_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 5000)
    assert file_sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_cache_folder_follows_the_users_variable(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_dir("data") == tmp_path / "linbench" / "data"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    assert cache_dir() == tmp_path / "user" / ".cache" / "linbench"
    assert not cache_dir().exists()
