"""Statistics, tables and verdicts computed from records."""
