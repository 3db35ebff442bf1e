"""Measures how other auxiliary tasks help the class task (section VI of the paper).

Trains with each set of tasks in `config.task_sets`; `mtl_traffic/tasks.py` defines the
names. Each set is compiled separately. Each is compared with the paper's tasks,
bandwidth and duration. Writes the same files as `label_budget`.
"""

from experiments import binary

if __name__ == "__main__":
  binary.run("auxiliary_tasks", __doc__)
