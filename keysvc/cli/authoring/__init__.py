"""What helps somebody to write a plugin: `templates/`, three plugins that work as they stand, and what copies them."""
