"""TLS reports (RFC 8460): what this gateway saw of other domains' TLS, told to those who ask to be told.

Off unless the operator switches it on. docs/tls-reports.md says what is counted, sent and kept.
"""
