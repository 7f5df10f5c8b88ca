"""What `stream-router jars` reads."""

from pydantic import Field

from stream_router.settings.common import Environment

MAVEN_CENTRAL = "https://repo.maven.apache.org/maven2"
"""What Maven's own clients ask where nothing else is configured."""


class Jars(Environment):
    """Where the KCL daemon's jars come from."""

    jars_from: str = Field(MAVEN_CENTRAL, description="URL of a Maven repository, or a folder that holds the jars")
