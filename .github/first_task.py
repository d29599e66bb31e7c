"""Print the quick task that a method is audited on: the first that it applies to."""

import sys

from benchmark.core import method_files
from benchmark.core.tasks import task as tasks

quick = [task for task in map(tasks.load, tasks.names()) if task.tier == "quick"]
print(next(task.name for task in quick if not method_files.why_not_applicable(sys.argv[1], task)))
