"""What a run leaves: records, their index and their comparison."""
