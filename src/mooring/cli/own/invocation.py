"""What a command of Mooring's own is called with, besides its words."""

from __future__ import annotations

from mooring.cli import operation, style

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mooring.cli.connection.client import Client
    from mooring.cli.connection.session import Session
    from mooring.cli.options import Options
    from mooring.protocol.service_model import ServiceModel


class Invocation:
    """The service model, the options common to all commands, and the settings."""

    __slots__ = ("model", "options", "session")

    def __init__(self, model: ServiceModel, options: Options, session: Session) -> None:
        self.model = model
        self.options = options
        self.session = session

    @property
    def is_for_programs(self) -> bool:
        """Whether the answer itself is wanted, by --output or --query, rather than a screen."""
        return self.options.output is not None or self.options.query is not None

    def show(self, name: str, answer: dict[str, Any]) -> None:
        """Print an answer as those of operations are printed. Raises ValueError."""
        from mooring.cli.output.render import Renderer

        v2 = style.is_v2(self.session.environ, self.session)
        output = operation.output_format(self.options, self.session, v2)
        Renderer(output, self.options.query, self.options.color).show(name, answer)

    def client(self) -> Client:
        """A client for the server that is meant. Raises CommandError."""
        v2 = style.is_v2(self.session.environ, self.session)
        return operation.open_client(self.model, self.options, self.session, lambda one: one, v2)
