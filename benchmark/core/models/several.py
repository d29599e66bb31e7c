"""Several named networks as one: the names of the parameters begin with the name of their network and a dot."""

from __future__ import annotations

from collections.abc import Mapping

from benchmark.core.errors import BenchmarkError
from benchmark.core.keys import Key
from benchmark.core.model_output import Output
from benchmark.core.models.functional import Input, Model
from benchmark.core.tree import Tree


class NamedModel(Model):
    """One of several networks: a network whose parameters have a prefix.

    Args:
        name: Its name.
        model: The network.
    """

    def __init__(self, name: str, model: Model) -> None:
        self.prefix, self.model, self.declared = f"{name}.", model, model.declared
        self.arch, self.random = model.arch, model.random
        self.shapes = {self.prefix + path: shape for path, shape in model.shapes.items()}
        self.names = frozenset(self.shapes)
        self.buffers = frozenset(self.prefix + path for path in model.buffers)

    def init(self, key: Key) -> Tree:
        """The numbers of the network alone, by names with the prefix."""
        return {self.prefix + path: leaf for path, leaf in self.model.init(key).items()}

    def weights(self, params: Tree) -> Tree:
        """The network's own entries that train."""
        return {name: leaf for name, leaf in params.items() if name in self.names - self.buffers}

    def call(self, params: Tree, x: Input, training: bool) -> Output:
        """The network's answer; entries of other networks are ignored."""
        own = {path: params[name] for path in self.model.names if (name := self.prefix + path) in params}
        return self.model.call(own, x, training)


class SeveralModels(Model):
    """Networks by name, `models["name"]`; together they have parameters, but no answer.

    Args:
        models: The networks by name.
    """

    def __init__(self, models: Mapping[str, Model]) -> None:
        self.models = {name: NamedModel(name, model) for name, model in models.items()}
        self.declared = {name: str(model.declared) for name, model in models.items()}
        self.arch = " + ".join(self.declared.values())
        self.random = any(model.random for model in models.values())
        self.shapes = {path: shape for model in self.models.values() for path, shape in model.shapes.items()}
        self.names = frozenset(self.shapes)
        self.buffers = frozenset(path for model in self.models.values() for path in model.buffers)

    def __getitem__(self, name: str) -> NamedModel:
        return self.models[name]

    def init(self, key: Key) -> Tree:
        """Initial parameters of all networks, each drawn by a key of its own."""
        return {path: leaf for name, model in self.models.items() for path, leaf in model.init(key(name)).items()}

    def call(self, params: Tree, x: Input, training: bool) -> Output:
        """Refused: the method has to say which network answers."""
        names = ", ".join(map(repr, self.models))
        message = f"the method has several networks ({names}), and a call names none"
        raise BenchmarkError(message, hint="write model[NAME](params, x), and override predict", user=False)
