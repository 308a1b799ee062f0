"""Stage 4: facts and directory in, one decision out, and its words."""
