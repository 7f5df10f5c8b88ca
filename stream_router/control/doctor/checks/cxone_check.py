"""The check of the CXone credentials, where they are set."""

from stream_router.aws.credentials import CredentialsError
from stream_router.checks.finding import Finding, Verdict
from stream_router.control.doctor.say import ok, skipped, wrong
from stream_router.control.doctor.world import World
from stream_router.cxone.client import CxoneClient, CxoneError
from stream_router.errors import NotNowError, SettingsError
from stream_router.settings import reading
from stream_router.settings.operators import Cxone
from stream_router.settings.reading import read

DEADLINE_S = 6.0
"""Of each exchange. There are two, the discovery and the token, and together they take less than all checks may."""


def credentials(_world: World) -> Finding:
    """SR190: CXone gives a token for them."""
    if not reading.is_set("CXONE_CLIENT_ID", "CXONE_CLIENT_SECRET"):
        return skipped("SR190", "no CXone credentials are set; events come without them")
    try:
        got = CxoneClient(read(Cxone), DEADLINE_S).token()
    except CredentialsError:
        return skipped("SR190", "waits for SR010")
    except (SettingsError, CxoneError) as error:
        problem, _, cure = str(error).partition("; ")
        if cure == "try again later" or isinstance(error, NotNowError):
            return Finding("SR190", "CXONE_CLIENT_ID", Verdict.UNKNOWN, problem, cure)
        return wrong("SR190", "CXONE_CLIENT_ID", problem, cure or "`stream-router cxone token` tries them")
    return ok("SR190", got.told())
