"""Outlook items: .msg, TNEF, rich text, rights management."""
