"""What stops `setup`, and whoever else reads the settings that only `setup` and the checks of it need."""

from stream_router.errors import SettingsError


class SetupError(Exception):
    """Setup cannot go on; its text is the one line that the operator sees, the cure in it."""


class WrongSettingError(SettingsError, SetupError):
    """The same, where a setting is at fault: exit 78."""
