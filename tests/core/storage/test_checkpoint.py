"""Checkpoints: whole or not at all, the same tree again, damage told from absence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from benchmark.core.errors import BenchmarkError
from benchmark.core.storage import checkpoint
from benchmark.core.storage.checkpoint import Memories

MODEL = {"w": torch.arange(3.0), "n": torch.tensor(2)}
TREE = {"model": MODEL, "seen": {}, "twin": torch.zeros(2, dtype=torch.float64)}


def saved(folder: Path, facts: dict[str, object] | None = None) -> Path:
    path = folder / "checkpoint.safetensors"
    checkpoint.save(path, TREE, {"done": 3} if facts is None else facts)
    return path


def test_a_tree_comes_back_with_its_facts_and_empty_parts(tmp_path: Path) -> None:
    loaded, facts = checkpoint.load(saved(tmp_path, {"done": 3, "name": "é", "x": [0.1, None]}))
    assert facts == {"done": 3, "name": "é", "x": [0.1, None]}
    assert loaded["seen"] == {} and loaded["twin"].dtype == torch.float64
    assert loaded["model"].keys() == MODEL.keys() and torch.equal(loaded["model"]["w"], MODEL["w"])


def test_safetensors_opens_it(tmp_path: Path) -> None:
    with safe_open(saved(tmp_path), framework="pt") as file:
        assert sorted(file.keys()) == ["model/n", "model/w", "seen/", "twin"]
        assert torch.equal(file.get_tensor("model/w"), MODEL["w"]) and file.get_tensor("seen/").numel() == 0
        assert json.loads(file.metadata()["fedrepro"])["facts"] == {"done": 3}


def test_equal_states_are_equal_bytes_and_nothing_else_is_left(tmp_path: Path) -> None:
    first = saved(tmp_path / "a").read_bytes()
    assert saved(tmp_path / "b").read_bytes() == first
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["checkpoint.safetensors"]


def test_server_memory_may_hold_one_tensor_twice(tmp_path: Path) -> None:
    weight = torch.ones(2)
    checkpoint.save(tmp_path / "x", {"now": weight, "before": weight}, {})
    loaded, _ = checkpoint.load(tmp_path / "x")
    assert torch.equal(loaded["now"], loaded["before"])


def test_every_flipped_byte_is_noticed(tmp_path: Path) -> None:
    path = saved(tmp_path)
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(BenchmarkError, match=r"is damaged|is of format version|is truncated|goes on") as caught:
            checkpoint.load(path)
        assert not caught.value.user and str(tmp_path) in caught.value.hint


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    path = saved(tmp_path)
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(BenchmarkError, match="is truncated"):
            checkpoint.load(path)


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"cannot be read \(No such file or directory\)"):
        checkpoint.load(tmp_path / "nothing")


def test_a_failed_save_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = saved(tmp_path)
    before = path.read_bytes()
    with pytest.raises(BenchmarkError, match="model/w is a int"):
        checkpoint.save(path, {"model": {"w": 3}}, {})
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_a_disk_that_refuses_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchmarkError, match=r"cannot be written \(.*\); free some space") as caught:
        saved(tmp_path / "file" / "below")
    assert not caught.value.user


def test_memories_keep_what_a_checkpoint_refers_to_until_the_next_one(tmp_path: Path) -> None:
    memories = Memories(tmp_path)
    assert memories.current(4) is None
    for number in (1, 3):
        checkpoint.save(memories.path(4, number), {"round": torch.tensor(number)}, {"client": 4, "round": number})
        memories.commit(4, number)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["client-4-1.safetensors", "client-4-3.safetensors"]
    memories.prune()
    assert [path for path in tmp_path.iterdir()] == [memories.current(4)]
    again = Memories(tmp_path, memories.sync())
    path = again.current(4)
    assert path is not None and checkpoint.load_memory(path)["round"].item() == 3


def test_a_memory_of_another_run_is_noticed(tmp_path: Path) -> None:
    """Client and round are the same: only the checkpoint knows which memory it belongs with."""
    left, right = Memories(tmp_path / "left"), Memories(tmp_path / "right")
    for memories, number in ((left, 1), (right, 2)):
        checkpoint.save(memories.path(3, 7), {"x": torch.tensor(number)}, {"client": 3, "round": 7})
        memories.commit(3, 7)
    entries = left.sync()
    assert [entry[:2] for entry in entries] == [(3, 7)]
    right.path(3, 7).replace(left.path(3, 7))
    with pytest.raises(BenchmarkError, match="not the memory that the checkpoint belongs with"):
        Memories(tmp_path / "left", entries)
    left.path(3, 7).unlink()
    with pytest.raises(BenchmarkError, match="No such file"):
        Memories(tmp_path / "left", entries)


def test_swapped_memories_are_noticed(tmp_path: Path) -> None:
    memories = Memories(tmp_path)
    for client in (1, 2):
        checkpoint.save(memories.path(client, 5), {"x": torch.tensor(client)}, {"client": client, "round": 5})
    memories.path(1, 5).rename(memories.path(2, 5))
    with pytest.raises(BenchmarkError, match="memory of client 1 after round 5"):
        checkpoint.load_memory(memories.path(2, 5))
