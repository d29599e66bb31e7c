"""Running cells: one, many, tuning, and comparing a cell with its record."""
