"""An agent over HTTP: its operations, its client, and whom it admits."""
