"""Other systems that run the suite's methods."""
