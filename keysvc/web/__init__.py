"""HTTP over mutual TLS: the only package that knows either. Who a caller is, is its client certificate."""
