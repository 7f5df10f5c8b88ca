"""AWS's region, as boto3 and we find it in the environment."""

import os

from stream_router.errors import SettingsError


def region_of_environment() -> str:
    """The region of everything: AWS_REGION, AWS_DEFAULT_REGION, or the profile's. Raises SettingsError."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        if region := os.environ.get(name, ""):
            return region
    if region := _profile_region():
        return region
    raise SettingsError("AWS_REGION: is not set; set AWS_REGION, for example us-east-1")


def _profile_region() -> str:
    from botocore.exceptions import BotoCoreError
    from botocore.session import Session

    try:
        return str(Session().get_config_variable("region") or "")
    except BotoCoreError as error:
        raise SettingsError(f"AWS_REGION: is not set, and {error}; set AWS_REGION, or correct AWS_PROFILE") from None
