"""The master secret server's domain. It knows the parts only by their interfaces."""
