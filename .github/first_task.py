"""Print the quick task that a method is audited on: the first that it applies to."""

import sys

from benchmark import catalog
from benchmark.core import task as tasks

print(next(name for name in tasks.names()
           if tasks.load(name).tier == "quick" and not catalog.applies(sys.argv[1], tasks.load(name))))  # fmt: skip
