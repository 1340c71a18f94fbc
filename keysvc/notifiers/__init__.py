"""The embedded notifier."""
