"""Cryptography: credentials, transport, backups, certificates, memory. Every algorithm is a reviewed library's."""
