"""Checks of who and where we are: credentials, identity, region, clock."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from stream_router.aws.endpoints import is_aws
from stream_router.checks.finding import Finding, Question, ask, refused
from stream_router.consumer.supervisor.daemon import java_credentials
from stream_router.control.doctor.say import ok, skipped, warn, wrong
from stream_router.control.doctor.world import World
from stream_router.errors import CREDENTIALS_OVER, SettingsError, code_of, served_s
from stream_router.settings import reading

EXPIRES_SOON_S = 15 * 60
SKEW_WARN_S, SKEW_WRONG_S = 60.0, 240.0
"""AWS refuses a signature that is 5 minutes off, the receiver one that is STREAM_ROUTER_REPLAY_WINDOW_S off."""


def found(world: World) -> Finding:
    """SR010: there are credentials, and they last."""
    try:
        got = world.credentials()
    except SettingsError as error:
        setting, _, rest = str(error).partition(": ")
        problem, _, cure = rest.partition("; ")
        return wrong("SR010", setting, problem, cure)
    until: datetime | None = getattr(got, "_expiry_time", None)
    renewed = getattr(got, "_refresh_using", None) is not None
    if until and not renewed and (until - datetime.fromtimestamp(world.now_s(), UTC)).total_seconds() < EXPIRES_SOON_S:
        return warn("SR010", "AWS credentials", f"they end at {until:%H:%M} UTC", "use a role, which renews them")
    if world.consume and java_credentials.signs_in(world.session, got):
        return warn(
            "SR010", "AWS_PROFILE", f"{java_credentials.PROBLEM}: `consume` would not start", java_credentials.CURE
        )
    return ok("SR010", f"found ({got.method})")


ALWAYS = frozenset({"SR010", "SR011", "SR012", "SR013", "SR190"})
"""Codes that are asked also where AWS does not know us."""

_NO_IDENTITY = refused(
    "AWS does not take these credentials", (*CREDENTIALS_OVER, "RequestExpired", "RegionDisabledException")
)


def stands_in_the_way(world: World) -> str:
    """The code of the check that says why nothing of AWS can be asked; "" where it can."""
    try:
        world.credentials()
    except SettingsError:
        return "SR010"
    try:
        world.identity()
    except ClientError as error:
        return "SR011" if code_of(error) in _NO_IDENTITY else ""
    except SettingsError:  # an endpoint that is no URL, a CA bundle that cannot be read
        return "SR011"
    except BotoCoreError:
        pass  # STS may be out of reach where the rest is not
    return ""


def identity(world: World) -> Finding:
    """SR011: AWS knows the credentials."""
    if stands_in_the_way(world) == "SR010":
        return skipped("SR011", "waits for SR010")
    no, answer = ask(Question("SR011", "AWS credentials", "who we are", world.identity, _NO_IDENTITY))
    return no or ok("SR011", f"account {answer['Account']}, {answer['Arn']}")


def region(world: World) -> Finding:
    """SR012: the region is one that the SDK knows; what points elsewhere than AWS is said."""
    name = world.settings.aws_region
    try:
        partitions = world.session.get_available_partitions()
        known = any(name in world.session.get_available_regions("kinesis", one) for one in partitions)
    except BotoCoreError:  # a profile that is not there
        return skipped("SR012", "waits for SR010")
    if not known:
        says = f"{name} is no region that this SDK knows"
        return warn("SR012", "AWS_REGION", says, "correct it; a region newer than the SDK works all the same")
    elsewhere = [
        row.variable for row in reading.of_aws() if row.value and not is_aws(row.value) and "URL" in row.variable
    ]
    return ok("SR012", name + (f"; not AWS itself: {', '.join(elsewhere)}" if elsewhere else ""))


def clock(world: World) -> Finding:
    """SR013: this host's clock is AWS's, by the time that AWS's answer bears."""
    if stands_in_the_way(world) == "SR010":
        return skipped("SR013", "waits for SR010")
    try:
        answer: Any = _answered(world.identity)
    except (BotoCoreError, SettingsError):
        return skipped("SR013", "waits for SR011")
    theirs_s = served_s(answer)
    if not theirs_s:
        return skipped("SR013", "the answer bears no time")
    off_s = world.once("clock", world.now_s) - theirs_s
    says = f"{abs(off_s):.0f} s {'ahead of' if off_s > 0 else 'behind'} AWS"
    cure = "set this host's clock (chrony, systemd-timesyncd)"
    if abs(off_s) >= SKEW_WRONG_S:
        return wrong("SR013", "clock", f"{says}: calls and webhooks are refused for it", cure)
    if abs(off_s) >= SKEW_WARN_S:
        return warn("SR013", "clock", says, cure)
    return ok("SR013", says)


def _answered(look: Callable[[], Any]) -> Any:
    """The answer, or the refusal, which bears a time as well."""
    try:
        return look()
    except ClientError as error:
        return error.response
