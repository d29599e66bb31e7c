"""Methods that cheat or misbehave, one per file in `adversaries`: each is caught, and a sentence says at what."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.submission.check import SECONDS, check
from benchmark.submission.static_check import static_faults

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parents[2] / "adversaries"
DIFFERS = "upload/model/classifier.bias differs between two runs of the same seed"

# file -> what reading it says, if that says anything
READ = {
    "clock": "imports time (line 5)",
    "dataset_files": "imports numpy (line 7)",
    "encoding_metadata": "imports benchmark.core.storage (line 10)",
    "endless_loop": "imports contextlib (line 6)",
    "environment_variable": "uses torch.os (line 21)",
    "file_times": "uses torch.os (line 20)",
    "forced_field": "uses __setattr__ (line 21)",
    "foreign_module": "assigns to torch.last_bias (line 23)",
    "fork_bomb": "imports os (line 5)",
    "frames": "uses frame.f_back (line 29)",
    "garbage_collector": "imports gc (line 5)",
    "installed_dataset": "imports sklearn.datasets (line 27)",
    "kills_the_runner": "imports os (line 5)",
    "leaves_the_process": "imports os (line 5)",
    "module_graph": "imports benchmark.core.backends (line 10)",
    "network": "imports socket (line 5)",
    "patched_check": "imports benchmark.submission (line 22)",
    "patched_evaluator": "imports benchmark.core.client (line 8)",
    "patched_torch": "assigns to torch.Tensor.argmax (line 21)",
    "pickled_weights": "imports pickle (line 5)",
    "permission_bits": "uses torch.os (line 20)",
    "process_files": "uses open (line 22)",
    "reads_when_imported": "uses __file__ (line 10)",
    "shared_file": "uses torch.from_file (line 22)",
    "thread": "imports threading (line 5)",
    "traceback_frames": "uses __traceback__ (line 31)",
    "unkeyed_randomness": "uses torch.os (line 21)",
    "writes_to_disk": "uses torch.save (line 23)",
}

# file -> the check that fails when it runs, and what its sentence says; also for files that would hide what they use
RUN = {
    # state outside of memories, and what others hold: by comparing runs
    "class_attribute": ("order", DIFFERS),
    "module_global": ("resume", DIFFERS),
    "iterator": ("apart", f"server and clients apart: round 1/client 2/{DIFFERS}"),
    "forced_field": ("order", DIFFERS),
    "foreign_module": ("order", DIFFERS),
    "environment_variable": ("apart", DIFFERS),
    "shared_file": ("order", DIFFERS),
    "meeting_of_models": ("order", "accuracy differs between two runs"),
    "unkeyed_randomness": ("randomness", DIFFERS),
    "frames": ("apart", DIFFERS),
    "traceback_frames": ("apart", DIFFERS),
    "patched_check": ("apart", f"server and clients apart: round 1/client 2/{DIFFERS}"),
    "patched_torch": ("apart", "accuracy differs between two runs"),
    "encoding_metadata": ("apart", "sends bytes beside its tensors"),
    # messages, inputs and budget: by observing calls
    "empty_shape": ("messages", "told has shapes (0, 10) and (0, 8) at client"),
    "telling_type": ("messages", "nothing has types torch.float16 and torch.bfloat16 at client"),
    "structure_per_client": ("messages", "rare is not in both messages: at client"),
    "changed_message": ("purity", "loss, step or after_step: changes its input message/model/classifier.bias"),
    "changed_server": ("purity", "download: changes its input server memory/models/mlp/classifier.bias"),
    "many_epochs": ("budget", "the visit took 100 optimiser steps where the task allows 2"),
    "many_updates": ("budget", "a step computes 5 gradients of a batch, where 2 are allowed"),
    "own_training": ("budget", "begin: computes gradients of its own, outside of a pass"),
    # by the engine, which takes tensors of the right shapes, keys of one's own and finite numbers
    "others_key": ("run", "reads the root of a key; derive keys by calling them"),
    "python_objects": ("run", "losses is a list, not a tensor"),
    "strided_storage": ("run", "aggregate in phase train, round 1: RuntimeError: setStorage"),
    "tensor_subclass": ("run", "model/classifier.bias is a Liar, not a tensor"),
    "not_a_number": ("run", "upload model/classifier.bias is not finite"),
    "wrong_shapes": ("run", "aggregate in phase train, round 1: ValueError: shapes differ: (2,), (3,), (2,);"),
    # by the sandbox
    "file_times": ("run", "PermissionError: [Errno 1] Operation not permitted"),
    "permission_bits": ("run", "PermissionError: [Errno 1] Operation not permitted"),
    "installed_dataset": ("run", "PermissionError: [Errno 13] Permission denied"),
    "huge_message": ("run", "can't allocate memory"),
    "memory_hog": ("run", "can't allocate memory"),
    "endless_loop": ("run", "endless_loop, aggregate: does not end"),
    "leaves_the_process": ("run", "finish: ends its process (exit code 0); raise an exception"),
    "writes_to_disk": ("files", "leaves files behind (model.pt)"),
}


def test_every_adversary_has_its_place_here() -> None:
    assert {path.stem for path in FOLDER.glob("*.py")} == READ.keys() | RUN.keys()


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.py")))
def test_reading_an_adversary_names_what_it_may_not_use(name: str) -> None:
    messages = [fault.message for fault in static_faults(FOLDER / f"{name}.py")]
    assert READ[name] in messages if name in READ else not messages


@pytest.mark.parametrize("name", RUN)
def test_running_an_adversary_shows_what_it_does_in_a_sentence(name: str) -> None:
    failing, words = RUN[name]
    seconds = 1.0 if name == "endless_loop" else SECONDS
    results = {result.check: result for result in check(str(FOLDER / f"{name}.py"), seconds)}
    assert results[failing].status == "failed"
    sentence = next((fault for fault in results[failing].faults if words in fault), "")
    assert sentence.startswith(name) and "; " in sentence, results[failing].faults
