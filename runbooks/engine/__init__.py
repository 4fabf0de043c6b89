"""The engine: steps, the one loop that runs them, and the only code that touches a host."""
