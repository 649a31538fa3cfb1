"""Batches: thousands of requests accepted as one, followed, cancelled and read back as one."""
