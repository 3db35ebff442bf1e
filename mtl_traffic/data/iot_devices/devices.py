"""Finds captures of IoT devices, and the device in each from its folder or name."""

import os
import pathlib
import re

from mtl_traffic.data import folders
from mtl_traffic.errors import InputError

DEVICES = (
  "Aria",
  "D-LinkCam",
  "D-LinkDayCam",
  "D-LinkDoorSensor",
  "D-LinkHomeHub",
  "D-LinkSensor",
  "D-LinkSiren",
  "D-LinkSwitch",
  "D-LinkWaterSensor",
  "EdimaxCam",
  "EdimaxPlug1101W",
  "EdimaxPlug2101W",
  "EdnetCam",
  "EdnetGateway",
  "HomeMaticPlug",
  "HueBridge",
  "HueSwitch",
  "Lightify",
  "MAXGateway",
  "SmarterCoffee",
  "TP-LinkPlugHS100",
  "TP-LinkPlugHS110",
  "WeMoInsightSwitch",
  "WeMoLink",
  "WeMoSwitch",
  "Withings",
  "iKettle2",
)
_BY_NAME = {device.lower(): device for device in DEVICES}


def device_of(name: str) -> str | None:
  """The kind of device named by a folder or the first part of a file name, if any.

  If there were two devices of a kind, they are numbered: `EdimaxCam1` is an
  `EdimaxCam`.
  """
  name = name.lower()
  return _BY_NAME.get(name) or _BY_NAME.get(re.sub(r"\d$", "", name))


def find_captures(
  folder: str | os.PathLike,
) -> tuple[list[tuple[pathlib.Path, str, str]], list[str]]:
  """Finds the captures below a folder.

  Returns:
    (capture, kind of device, name of the device) in alphabetical order, and the
    captures of unknown devices.

  Raises:
    InputError: no capture is of a known device, two captures of a device have the same
      name, or a folder cannot be read.
  """
  found, left_out, seen = [], [], {}
  for path in folders.captures_below(folder):
    above = path.relative_to(folder).parts[-2::-1]
    names = (path.name.split(".")[0], *above)
    name = next((name for name in names if device_of(name)), None)
    if name is None:
      left_out.append(str(path))
      continue
    other = seen.setdefault((name, path.name), path)
    if other != path:
      raise InputError(
        f"{path} and {other} are of one device and have the same name; remove one"
      )
    found.append((path, device_of(name), name))
  if not found:
    raise InputError(
      f"{folder}: holds no capture of a known device, but {folders.contents(folder)}; "
      "give the folder of the published captures, e.g. Aria/Setup-A-1-STA.pcap"
    )
  return found, left_out
