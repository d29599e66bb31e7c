"""Datasets, their partition among clients, batches and augmentation."""
