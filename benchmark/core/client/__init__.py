"""What one client does in one round: its data, local training and evaluation."""
