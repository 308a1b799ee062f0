"""Archives and compressed files: ZIP, 7-Zip, RAR, tar, gzip and its like, uuencode."""
