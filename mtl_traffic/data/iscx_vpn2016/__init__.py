"""The ISCX VPN-nonVPN 2016 captures in five categories, as a TFDS builder."""
