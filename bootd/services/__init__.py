"""What bootd does about what it hears: the only room that writes."""
