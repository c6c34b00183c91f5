"""The layers of a disk as files: docs/formats/layers.md as code."""
