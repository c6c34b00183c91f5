"""Amounts of bytes as people read them."""

from mooring.model.counts import counted

UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")


def amount(size: int) -> str:
    """For example `1.5 GiB`; exact below 1 KiB."""
    value = float(size)
    for unit in UNITS[:-1]:
        if value < 1024:
            return counted(size, "byte") if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} {UNITS[-1]}"
