"""Files and encodings: atomic writes, messages, checkpoints, checksummed JSON."""
