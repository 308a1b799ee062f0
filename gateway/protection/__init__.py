"""Stage 5: what may not leave in the clear is encrypted."""
