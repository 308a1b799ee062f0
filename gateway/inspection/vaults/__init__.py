"""Files that are made to be encrypted: age, and KeePass databases."""
