"""The public Python interface: `import fedrepro as fr`, then `fr.run(...)` and `fr.board(...)`."""

from benchmark import board, check, dataset, metric, network, partition, run

__all__ = ["board", "check", "dataset", "metric", "network", "partition", "run"]
