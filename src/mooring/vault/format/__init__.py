"""What lies in a vault, byte by byte: docs/formats/vault.md as code."""
