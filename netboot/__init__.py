"""The protocols of network booting, sans-I/O: bytes and facts in, bytes and facts out."""
