"""Stage 7: shares leave over SMTP, once the live connection has proven what the decision requires."""
