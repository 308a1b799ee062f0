"""Stage 1: mail comes in over SMTP from the agencies' servers."""
