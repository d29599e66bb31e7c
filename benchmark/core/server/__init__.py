"""Rounds, evaluation and the count of communication."""
