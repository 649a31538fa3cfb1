"""Webhooks (standardwebhooks.com): signed, retried from a table, kept from reaching inside the network."""
