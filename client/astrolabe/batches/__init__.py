"""Thousands of requests as one: submitted as lines, told apart by ``external_id``, read back as they end."""
