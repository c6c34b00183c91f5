"""Signals that end a command, as interrupts that let it tidy up."""

from __future__ import annotations

import signal


def tidy_up_when_ended() -> None:
    """Let SIGTERM and SIGHUP raise KeyboardInterrupt, unless they are ignored, as by nohup."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
