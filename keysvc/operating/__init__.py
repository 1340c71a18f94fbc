"""What the people who run keysvc see of it: whether it lives and is ready, its metrics, and what systemd is told."""
