"""The UDP ports machines talk to: datagrams in and out of the protocol engines."""
