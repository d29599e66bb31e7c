"""The stages of DVC, and the verification of what they made."""
