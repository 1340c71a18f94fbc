"""The master secret server over HTTP: its operations, its client, and failover between several."""
