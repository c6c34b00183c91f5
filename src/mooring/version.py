"""The version of Mooring, as a constant: nothing to look up."""

VERSION = "0.1.0"
