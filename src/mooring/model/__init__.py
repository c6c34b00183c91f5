"""Plain values, rules and state machines; no I/O."""
