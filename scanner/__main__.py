"""The ``scanner`` command, also as ``python -m scanner``."""

import sys


def main() -> None:
    """Runs a command, as :func:`scanner.cli.main` does; Ctrl-C while that is still loaded ends it, too."""
    try:
        from scanner.cli import main as command

        command()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
