"""Captures of the set-up of 27 kinds of IoT devices, as a TFDS builder."""
