"""One client in one round: its data, local training and evaluation."""
