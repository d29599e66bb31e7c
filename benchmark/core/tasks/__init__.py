"""Tasks: one frozen setting each, read from YAML."""
