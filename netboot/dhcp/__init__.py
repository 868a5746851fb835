"""DHCP as network booting uses it (RFC 2131, 2132, 4578, PXE 2.1)."""
