"""PDF: syntax, encryption, passwords, and what stays readable."""
