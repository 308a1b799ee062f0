"""OpenPGP: armour, packets, session keys, passphrases."""
