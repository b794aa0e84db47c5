"""How a build ends when it does not end well."""


class BuildError(Exception):
    """The build failed. ``message`` says what failed and what to look at, for the user.

    ``line`` is the line of the requirements file called ``file`` that is to blame, where one is.
    """

    def __init__(self, message: str, line: int | None = None, file: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.file = file


class BuildCancelledError(Exception):
    """The build was cancelled, and left nothing."""


class InstallerError(Exception):
    """A tool that resolves or installs failed. ``output`` is what it printed."""

    def __init__(self, output: str, *, needs_source: bool = False) -> None:
        super().__init__(output)
        self.output = output
        self.needs_source = needs_source
        """Whether the cause is that a package has no wheel and was not allowed to run its build script."""
