"""Whether the KCL's daemon can have the credentials that we have: Java's chain of them is its own."""

from botocore.credentials import Credentials
from botocore.session import Session

from stream_router.consumer.supervisor.daemon.properties import Rendered
from stream_router.errors import SettingsError

_SIGN_IN = frozenset({"sso_session", "sso_start_url", "login_session"})
"""What a profile has that signs in by IAM Identity Center, or by `aws login`."""

_FROM_A_PROFILE = frozenset({"sso", "login", "assume-role"})
"""botocore's names of where credentials come from, as far as a profile may sign in for them."""

PROBLEM = "its profile signs in (IAM Identity Center, `aws login`), which the KCL's daemon cannot"
CURE = "name a profile with `credential_process = aws configure export-credentials --profile THAT_ONE`"


def check(session: Session, rendered: Rendered) -> None:
    """Raises SettingsError where the daemon would find none: it would end, and be started again, for ever.

    Java's SDK wants a jar for each way to sign in, and the KCL brings none of them. A properties file that names
    another provider is not judged.
    """
    given = {key.lower(): value for key, value in rendered.properties.items()}
    found = session.get_credentials()
    if found and given.get("awscredentialsprovider") == "DefaultCredentialsProvider" and signs_in(session, found):
        raise SettingsError(f"AWS_PROFILE: {PROBLEM}; {CURE}")


def signs_in(session: Session, found: Credentials) -> bool:
    """Whether what `session` has `found` comes from a profile that signs in, or by a role from such a one."""
    if found.method not in _FROM_A_PROFILE:
        return False
    profiles = session.full_config["profiles"]
    name, seen = session.profile or "default", set[str]()
    while name not in seen:
        seen.add(name)
        profile = profiles.get(name, {})
        if _SIGN_IN & profile.keys():
            return True
        name = profile.get("source_profile", name)
    return False
