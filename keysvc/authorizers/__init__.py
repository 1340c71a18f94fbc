"""The embedded authorizer."""
