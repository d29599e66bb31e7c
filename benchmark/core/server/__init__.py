"""The server of a run: rounds, evaluation, and the count of communication."""
