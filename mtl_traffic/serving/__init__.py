"""A model of one's own: trained, calibrated, kept, asked, and how good it is."""
