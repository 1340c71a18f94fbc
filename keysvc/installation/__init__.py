"""This installation: its configuration, the parts that it opens, and what makes, checks and moves it."""
