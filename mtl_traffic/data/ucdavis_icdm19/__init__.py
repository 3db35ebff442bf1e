"""The UC Davis QUIC dataset of five Google services, as a TFDS builder."""
