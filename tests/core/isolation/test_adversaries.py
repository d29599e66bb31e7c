"""Methods that cheat or misbehave, one per file in `adversaries`: each is caught, and a sentence says at what."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.submission import check as conformance

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parents[2] / "adversaries"

# file -> the check that fails, and what its sentence says
CAUGHT = {
    "class_attribute": ("state", "ClassAttribute.seen has changed: state outside of memories"),
    "module_global": ("state", "module_global.SEEN has changed: state outside of memories"),
    "closure": ("state", "closure.averaged has changed: state outside of memories"),
    "default_argument": ("state", "default_argument._averaged has changed: state outside of memories"),
    "function_cache": ("state", "function_cache._seen has changed: state outside of memories"),
    "iterator": ("apart", "server and clients apart: round 1/client 2/upload/model/classifier.bias differs"),
    "forced_field": ("state", "self.turn has changed: state outside of memories"),
    "tensor_attribute": ("apart", "server and clients apart: round 1/client 2/upload/model/classifier.bias differs"),
    "network_module": ("apart", "server and clients apart: round 1/client 2/upload/model/classifier.bias differs"),
    "foreign_module": ("order", "round 1/client 1/upload/model/classifier.bias differs between two runs"),
    "environment_variable": ("reach", "finish: reaches outside (os.putenv"),
    "shared_file": ("order", "round 1/client 1/upload/model/classifier.bias differs between two runs"),
    "meeting_of_models": ("state", "judging: MeetingOfModels.seen has changed: state outside of memories"),
    "garbage_collector": ("reach", "finish: reaches outside (gc.get_objects"),
    "frames": ("reach", "finish: reaches outside (sys._getframe"),
    "traceback_frames": ("reach", "finish: reaches outside (object.__getattr__"),
    "module_graph": ("class", "imports benchmark.core.backends (line 10)"),
    "dataset_files": ("reach", "finish: reaches outside (open '/var/cache/fedrepro"),
    "installed_dataset": ("run", "PermissionError: [Errno 13] Permission denied"),
    "process_files": ("reach", "finish: reaches outside (open '/proc/self/maps')"),
    "others_key": ("run", "reads the root of a key; derive keys by calling them"),
    "python_objects": ("run", "losses is a list, not a tensor"),
    "pickled_weights": ("class", "imports pickle (line 5)"),
    "strided_storage": ("run", "aggregate in phase train, round 1: RuntimeError: setStorage"),
    "encoding_metadata": ("state", "benchmark.core.storage.serialization.save has changed"),
    "empty_shape": ("messages", "told has shapes (0, 10) and (0, 8) at client"),
    "tensor_subclass": ("run", "model/classifier.bias is a Liar, not a tensor"),
    "telling_type": ("messages", "nothing has types torch.float16 and torch.bfloat16 at client"),
    "structure_per_client": ("messages", "rare is not in both messages: at client"),
    "changed_message": ("purity", "loss, step or after_step: changes its input message/model/classifier.bias"),
    "changed_server": ("purity", "download: changes its input server memory/models/mlp/classifier.bias"),
    "patched_evaluator": ("state", "benchmark.core.client.evaluate.correct has changed"),
    "patched_torch": ("state", "torch.Tensor.argmax has changed"),
    "patched_check": ("apart", "server and clients apart: round 1/client 2/upload/model/classifier.bias differs"),
    "many_epochs": ("budget", "finish: the visit took 100 optimiser steps where the task allows 3"),
    "many_updates": ("budget", "finish: the visit took 10 optimiser steps where the task allows 3"),
    "own_training": ("budget", "begin: computes gradients outside of a pass"),
    "unkeyed_randomness": ("randomness", "upload/model/classifier.bias differs between two runs of the same seed"),
    "clock": ("reach", "begin: reads the clock (time.perf_counter)"),
    "not_a_number": ("run", "upload model/classifier.bias is not finite"),
    "wrong_shapes": ("run", "aggregate in phase train, round 1: ValueError: shapes differ: (2,), (3,), (2,); mend"),
    "huge_message": ("run", "can't allocate memory"),
    "memory_hog": ("run", "can't allocate memory"),
    "endless_loop": ("run", "endless_loop, aggregate: does not end"),
    "fork_bomb": ("reach", "begin: reaches outside (os.fork)"),
    "leaves_the_process": ("run", "finish: ends its process (exit code 0); raise an exception"),
    "kills_the_runner": ("reach", "finish: reaches outside (os.kill"),
    "network": ("reach", "finish: reaches outside (socket."),
    "thread": ("reach", "finish: starts a thread"),
    "writes_to_disk": ("reach", "leaves files behind (model.pt)"),
    "reads_when_imported": ("class", "reaches outside (open"),
}  # fmt: skip


def test_every_adversary_has_its_place_here() -> None:
    assert {path.stem for path in FOLDER.glob("*.py")} == set(CAUGHT) and len(CAUGHT) >= 25


@pytest.mark.parametrize("name", CAUGHT)
def test_an_adversary_is_caught_in_a_sentence(name: str) -> None:
    check, words = CAUGHT[name]
    seconds = 1.0 if name == "endless_loop" else conformance.SECONDS
    findings = {finding.check: finding for finding in conformance.check(str(FOLDER / f"{name}.py"), seconds)}
    sentences = findings[check].faults
    (sentence, *_) = [fault for fault in sentences if words in fault] or sentences or ["nothing"]
    assert words in sentence
    assert findings[check].verdict == "failed" and sentence.startswith(name) and "; " in sentence
