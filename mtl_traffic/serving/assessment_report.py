"""Writes the report of an evaluation: `report.html`, `report.md`, `evaluation.json`."""

import json
import os
import pathlib
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from mtl_traffic import files, pages, provenance
from mtl_traffic.errors import InputError
from mtl_traffic.escapes import for_markdown
from mtl_traffic.pages import Folded, Heading, Part, Shown, contents
from mtl_traffic.serving import assessment, assessment_figures
from mtl_traffic.serving.assessment_figures import range_name
from mtl_traffic.serving.observations import Observations
from mtl_traffic.tables import markdown_table

_NUMBERS, _PAGE, _TEXT = "evaluation.json", "report.html", "report.md"
_FIGURES = {
  name: f"report/{name}.png"
  for name in (
    "classes",
    "confusion",
    "packets",
    "after_packets",
    "reliability",
    "coverage",
  )
}
_LONG = 12  # Lines; longer tables are folded.
_MOST_LINES = 30  # Of the tables of confusions and of misclassified captures.
_TITLES = {
  "accuracy": "accuracy",
  "balanced_accuracy": "balanced accuracy: the mean recall of the classes",
  "macro_f1": "macro F1: the mean F1 of the classes",
  "capture_accuracy": "accuracy of captures, by vote of their flows",
  "client_accuracy": "accuracy of client addresses in a capture, by vote",
  "answered_share": "coverage: flows that are answered, not unknown",
  "accuracy_of_answered": "accuracy of answered flows",
  "accuracy_of_known_classes": "accuracy of flows whose class the model knows",
}


def check_absent(workdir: str | os.PathLike) -> None:
  """Raises an InputError if a folder contains a file that a report would replace."""
  workdir = pathlib.Path(workdir)
  for name in (_NUMBERS, _PAGE, _TEXT, *_FIGURES.values()):
    if (workdir / name).exists():
      raise InputError(f"{workdir}: holds {name} already; take another directory")


def write(
  observed: Observations,
  assessed: Mapping,
  workdir: str | os.PathLike,
  *,
  model: str,
  tested_on: str,
  notices: Sequence[str] = (),
) -> pathlib.Path:
  """Writes the page, its figures, and the numbers; returns the page.

  Args:
    observed: the answers and the true classes.
    assessed: the result of `assess` for them.
    workdir: the folder to write to.
    model: the name of the model.
    tested_on: a description of the flows.
    notices: warnings about the flows and labels, one line each.

  Raises:
    InputError: it cannot be written.
  """
  workdir = pathlib.Path(workdir)
  for name, figure in _figures(observed, assessed).items():
    files.write_figure(workdir / _FIGURES[name], figure)
  are_divided = bool(observed.class_counts)
  parts = _parts(assessed, model, tested_on, notices, are_divided)
  files.write_text(workdir / _TEXT, pages.markdown(parts))
  files.write_text(workdir / _PAGE, pages.html(parts, workdir, "Evaluation"))
  content = {"model": model, "tested_on": tested_on, "notices": list(notices)}
  content |= assessed
  files.write_text(workdir / _NUMBERS, json.dumps(content, indent=2) + "\n")
  return workdir / _PAGE


def _figures(observed: Observations, assessed: Mapping) -> dict[str, Figure]:
  curves = {task: assessment.coverage_of(of) for task, of in observed.tasks.items()}
  drawn = {
    "classes": assessment_figures.classes_figure(assessed["classes"]),
    "confusion": assessment_figures.confusion_figure(assessed["confusion"]),
    "packets": assessment_figures.packets_figure(assessed["by_packets"]),
    "reliability": assessment_figures.reliability_figure(assessed["calibration"]),
    "coverage": assessment_figures.coverage_figure(curves),
  }
  after = assessed["after_packets"]
  if len(after) > 1:
    drawn["after_packets"] = assessment_figures.after_packets_figure(after)
  return drawn


def headlines(assessed: Mapping) -> str:
  """A table of the most important figures."""
  lines = [
    [title, _percent(assessed[name]), _interval(assessed["intervals"][name])]
    for name, title in _TITLES.items()
    if assessed[name] is not None
  ]
  return markdown_table(["", "%", "95 % interval"], lines)


def _parts(
  assessed: Mapping,
  model: str,
  tested_on: str,
  notices: Sequence[str],
  are_divided: bool,
) -> list[Part]:
  unknown = [
    [name, count, _percent(count / assessed["num_flows"])]
    for name, count in assessed["unknown"].items()
  ]
  drawn = f"{assessed['num_resampled']:,} {assessed['resampled']}"
  opening: list[Part] = [
    Heading("How accurate the model is", level=1),
    f"The model {for_markdown(model)} was tested on {assessed['num_flows']:,} labelled "
    f"flows of {for_markdown(tested_on)}. The results are meaningless if the model was "
    "trained on any of these flows. A flow that is answered `unknown` counts as not "
    "right.",
    headlines(assessed),
    f"The intervals are 95 % bootstrap intervals: the {drawn} are drawn with "
    f"replacement {assessed['num_samples']:,} times. {_WHY[assessed['resampled']]}",
    "\n".join(f"- Note: {for_markdown(notice)}." for notice in notices),
  ]
  parts: list[Part] = [
    Heading("Unknown flows"),
    markdown_table(["reason", "flows", "%"], unknown),
  ]
  if assessed["classes_unknown_to_model"]:
    parts += _foreign(assessed)
  parts += [
    Heading("Each class"),
    Shown("F1, precision and recall of each class", _FIGURES["classes"]),
    _folded("Each class", _classes(assessed["classes"]), len(assessed["classes"])),
    Heading("Which classes are confused"),
    Shown("Confusion matrix, in % of the class", _FIGURES["confusion"]),
    *_confusions(assessed["confusion"]),
    *_groups(assessed, are_divided),
    Heading("Accuracy by number of packets"),
    *_packets(assessed),
    Heading("Calibration and coverage"),
    _calibration(assessed),
    Shown("Accuracy against confidence", _FIGURES["reliability"]),
    Shown("Accuracy against coverage", _FIGURES["coverage"]),
  ]
  if assessed["tasks"]:
    parts += [Heading("Bandwidth and duration"), _tasks(assessed["tasks"])]
  made = provenance.sentence(provenance.of_call())
  packages = ", ".join(f"{name} {of}" for name, of in provenance.versions().items())
  made = for_markdown(f"{made}. Versions: {packages}.")
  parts += [Heading("How this was made"), made]
  return [*opening, "**Contents**\n\n" + contents(parts), *parts]


def _folded(title: str, text: str, num_lines: int) -> Part:
  return Folded(title, [text]) if num_lines > _LONG else text


_WHY = {
  "captures": "Each capture is drawn with all its flows, because flows of one capture "
  "resemble each other.",
  "flows": "The captures of these flows are unknown, so single flows are drawn. If "
  "flows resemble each other, the intervals are too narrow.",
}


def _foreign(assessed: Mapping) -> list[Part]:
  of = {one["name"]: one for one in assessed["classes"]}
  lines = [
    [name, count, count - of[name]["num_unknown"], of[name]["num_unknown"]]
    for name, count in assessed["classes_unknown_to_model"].items()
  ]
  found = assessed["detection_of_unknown_classes"]
  told = (
    ""
    if found is None
    else (
      " Certainty detects these flows with an AUROC of "
      f"{found['auroc']:.3f}. With a threshold that makes 95 % of them `unknown`, "
      f"{_percent(found['kept'])} % of the other flows are still answered."
    )
  )
  return [
    Heading("Classes that the model does not know"),
    "No answer for flows of these classes can be right. They count as errors in all "
    "figures except the accuracy of flows whose class the model knows." + told,
    markdown_table(["class", "flows", "answered (wrong)", "unknown"], lines),
  ]


def _classes(classes: Sequence[Mapping]) -> str:
  lines = [
    [
      one["name"],
      one["num_flows"],
      one["num_captures"] or "–",
      one["num_unknown"],
      *(_with_interval(one, name) for name in ("precision", "recall", "f1")),
    ]
    for one in classes
  ]
  header = ["class", "flows", "captures", "unknown", "precision", "recall", "F1"]
  return "In %, with 95 % intervals.\n\n" + markdown_table(header, lines)


def _confusions(confusion: Mapping) -> list[Part]:
  """The most frequent confusions."""
  found = []
  for i, (name, counts) in enumerate(
    zip(confusion["classes"], confusion["counts"], strict=True)
  ):
    total = sum(counts)
    found += [
      [name, answer, count, f"{100 * count / total:.1f}"]
      for j, (answer, count) in enumerate(
        zip(confusion["answers"], counts, strict=True)
      )
      if count and j != i
    ]
  if not found:
    return ["Every flow was classified correctly."]
  found.sort(key=lambda line: -line[2])
  table = markdown_table(
    ["class", "predicted", "flows", "% of the class"], found[:_MOST_LINES]
  )
  title = _first_of(len(found), "The most frequent errors")
  return [_folded(title, f"{title}\n\n{table}", len(found))]


def _groups(assessed: Mapping, are_divided: bool) -> list[Part]:
  """Accuracy of captures and of client addresses, and those that are wrong."""
  parts: list[Part] = []
  for name, title, what in (
    ("captures", "Captures", "captures"),
    ("clients", "Client addresses", "client addresses in a capture"),
  ):
    groups = assessed[name]
    mixed, wrong = groups["of_several_classes"], groups["wrong"]
    if not groups["number"] + len(mixed):
      continue
    right = groups["number"] - len(wrong)
    text = (
      f"{right:,} of {groups['number']:,} {what} are right. Their flows vote: a flow "
      "has one vote per packet that the model saw, divided among the classes by their "
      "probabilities. Unknown flows have no vote."
    )
    if are_divided and name == "captures":
      text += (
        " The votes for a class are divided by the square root of its number of "
        "labelled training flows (plus one)."
      )
    if mixed:
      text += (
        f" {len(mixed):,} are left out because their flows have several classes, such "
        f"as {for_markdown(mixed[0])}."
      )
    parts += [Heading(title), text]
    if wrong:
      lines = [
        [one[key] for key in ("name", "class", "answer", "num_flows")]
        for one in wrong[:_MOST_LINES]
      ]
      table = markdown_table(["wrong", "class", "predicted", "flows"], lines)
      title = _first_of(len(wrong), "Errors, sorted by number of flows")
      parts += [_folded(title, f"{title}\n\n{table}", len(wrong))]
  return parts


def _packets(assessed: Mapping) -> list[Part]:
  bins = assessed["by_packets"]
  header = ["flows", "answered", "accuracy", "accuracy of answered flows"]
  parts: list[Part] = [
    "Accuracy in %, for flows grouped by the number of packets that the model saw. It "
    f"reads at most {bins[-1]['to']} packets of a flow.",
    markdown_table(
      ["packets seen", *header],
      [[range_name(one), one["num_flows"], *_accuracies(one)] for one in bins],
    ),
    Shown("Accuracy by packets seen", _FIGURES["packets"]),
  ]
  after = assessed["after_packets"]
  if len(after) > 1:
    parts += [
      "Accuracy in % of all flows, if each is answered after the given number of "
      "packets, or at its end if it is shorter.",
      markdown_table(
        ["packets", *header],
        [[one["packets"], assessed["num_flows"], *_accuracies(one)] for one in after],
      ),
      Shown("Accuracy after a number of packets", _FIGURES["after_packets"]),
    ]
  return parts


def _tasks(tasks: Mapping[str, Mapping]) -> str:
  lines = [
    [task, len(one["classes"]), one["num_flows"], *_accuracies(one)]
    for task, one in tasks.items()
  ]
  header = ["task", "classes", "flows", "answered", "accuracy"]
  return (
    "Accuracy in %, for flows that ended within the capture. Only these have a true "
    "bandwidth and duration.\n\n"
    + markdown_table([*header, "accuracy of answered flows"], lines)
  )


def _accuracies(one: Mapping) -> list[object]:
  names = ("accuracy", "accuracy_of_answered")
  return [one["num_answered"], *(_with_interval(one, name) for name in names)]


def _calibration(assessed: Mapping) -> str:
  lines = [
    [one["threshold"], _percent(one["coverage"]), _percent(one["accuracy"])]
    for one in assessed["coverage"]
  ]
  return (
    f"The expected calibration error is {_percent(assessed['ece'])} %. For each "
    "threshold on the certainty, the table shows the share of flows that are answered, "
    "and the accuracy of these answers:\n\n"
    + markdown_table(["threshold", "answered (%)", "accuracy (%)"], lines)
  )


def _first_of(number: int, what: str) -> str:
  if number <= _MOST_LINES:
    return f"{what}:"
  return f"{what}, the first {_MOST_LINES} of {number:,}:"


def _percent(fraction: float | None) -> str:
  return "–" if fraction is None else f"{100 * fraction:.1f}"


def _interval(interval: Sequence[float] | None) -> str:
  return (
    "" if interval is None else "{:.1f}–{:.1f}".format(*(100 * x for x in interval))
  )


def _with_interval(one: Mapping, name: str) -> str:
  interval = _interval(one[f"{name}_interval"])
  return _percent(one[name]) + (interval and f" ({interval})")
