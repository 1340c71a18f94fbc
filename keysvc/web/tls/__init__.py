"""Certificates as files, and their renewal."""
