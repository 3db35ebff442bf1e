"""The first half minute of video sessions, as a TFDS builder."""
