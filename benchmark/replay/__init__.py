"""Recorded trajectories and losses of official code, replayed."""
