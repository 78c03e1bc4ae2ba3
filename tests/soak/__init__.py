"""The soak: long campaigns of faults against the real engine, and one table of what they did. `make soak` runs it."""
