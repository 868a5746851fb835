"""Workers: turn what is written down into deeds, step by step, under a lease."""
