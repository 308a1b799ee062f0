"""The partner-mail gateway: an SMTP relay that makes partner mail comply with its protocol, and proves it."""

__version__ = "0.1.0"
