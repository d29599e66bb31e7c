"""Files that are written whole: messages, checkpoints, checksummed JSON."""
