"""Fuzzing of every parser of outside input: `make fuzz MINUTES=…`, and for some seconds in `make test`."""
