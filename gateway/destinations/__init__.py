"""Stage 3: what is known of a recipient before anything is decided."""
