"""S/MIME: the Cryptographic Message Syntax, its recipients, and the certificates and keys that travel with it."""
