"""Datasets, splits among clients, batches and augmentation."""
