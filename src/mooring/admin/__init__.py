"""The operator's command, mooringd."""
