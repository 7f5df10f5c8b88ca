"""Conversion of the consumer's settings into the transform's configuration."""

from stream_router.pipeline.transform import TransformConfig
from stream_router.settings.consumer import Consumer


def transform_config(settings: Consumer) -> TransformConfig:
    """Return the transform's part of the settings. Raise SettingsError if the masking key cannot be read."""
    key = settings.strong_secret("masking_key")
    return TransformConfig(
        region=settings.aws_region,
        event_types=settings.event_type_list,
        unroutable=settings.unroutable,
        drop_types=frozenset(settings.drop_type_list),
        masking=settings.masking,
        masking_key=key.encode() or None,
        config_file=settings.config,
        application=settings.application,
    )
