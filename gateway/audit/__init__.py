"""Stage 8: what was shared, with whom, why and how, as records that can be read back."""
