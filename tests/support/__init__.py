"""Real servers for tests: Postfix, PostgreSQL, a recording SMTP sink, a certificate authority, the gateway itself.

Guarantees: everything listens on 127.0.0.1 at free ports, keeps its state in temporary folders, and is stopped
and removed afterwards even where a test fails. Nothing here touches /etc or a running service.
"""
