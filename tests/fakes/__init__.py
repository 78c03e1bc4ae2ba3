"""Stand-ins that behave like the real thing: a gateway on a real socket, its dialect, a command line that knows it."""
