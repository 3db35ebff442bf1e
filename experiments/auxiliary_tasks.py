"""What other cheap targets do for the class task (section VI of the paper).

Goes through `config.task_sets`, each a program of its own; the names are those of
`mtl_traffic/tasks.py`. Differences are to the paper's bandwidth and duration. Writes
what `label_budget` writes.
"""

from experiments import binary

if __name__ == "__main__":
  binary.run("auxiliary_tasks", __doc__)
