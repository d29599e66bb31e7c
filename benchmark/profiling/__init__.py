"""Where a round's time goes."""
