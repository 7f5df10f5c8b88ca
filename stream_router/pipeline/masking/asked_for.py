"""The masking policy that the settings ask for."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stream_router.pipeline.masking.policy import MaskingPolicy


def asked_for(name: str, key: bytes | None, regions: Sequence[str] = ()) -> "MaskingPolicy | None":
    """The policy of this name or file; None where masking is `off`. Raises SettingsError, naming the failing key.

    `regions` are countries whose national phone numbers it is to expect besides those that it names itself.
    """
    if name == "off":
        return None
    from stream_router.pipeline.masking import policy_file  # 9 MB of words and patterns, which only masking needs

    return policy_file.load(name, key, regions)
