"""Numbers of things, as written in sentences."""


def counted(number: float, noun: str) -> str:
    """For example `1 disk`, `3 disks`, `0.5 seconds`; the noun's plural must end in s alone."""
    shown = str(number) if isinstance(number, int) else f"{number:g}"
    return f"{shown} {noun}" if shown == "1" else f"{shown} {noun}s"
