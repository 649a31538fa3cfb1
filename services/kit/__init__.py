"""Plumbing every service shares: settings, errors, web application, database, job life cycle. Knows no service."""
