"""`gateway demo`: a partner's server, an agency's client and the gateway on loopback, with real mail between them.

Guarantees: nothing leaves the machine (addresses end in .example, every route leads to 127.0.0.1); what it shows
is what the gateway recorded, not what was expected; it fails where the two differ. Keys and certificates are made
anew and stay in the demo's folder.
"""
