"""Checking a method file, and starting a new one."""
