"""The errors that cross rooms: one root, few children. Each message says what to do."""


class ScannerError(Exception):
    """Something refused or failed; the command line prints it in one line and exits with 1."""


class ConfigurationError(ScannerError):
    """A setting, a key file or the store's configuration falls short."""


class CampaignError(ScannerError):
    """A campaign file, or a change to a campaign, is not acceptable."""


class StoreUnavailableError(ScannerError):
    """The store did not answer, or cannot serve yet. What was asked is unknown, never refused."""


class StoreLostError(StoreUnavailableError):
    """No answer came at all, within the time that was given: whoever asks next would wait as long again."""


class StoreRefusedError(ScannerError):
    """The store answered and said no: an unknown lot, a campaign that has moved on."""


def missing(library: str, what: str, extra: str) -> ConfigurationError:
    """A library is not installed that comes with an extra of ours. No index is named to install it from: what
    is called ``scanner`` there is somebody else's."""
    return ConfigurationError(
        f"{what} needs {library}: install scanner with its extra `{extra}` "
        f"(`pip install -e '.[{extra}]'` in its checkout)"
    )
