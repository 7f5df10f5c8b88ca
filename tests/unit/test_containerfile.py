"""deploy/Containerfile, without building it: what of it can be read off."""

import configparser
import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILE = ROOT / "deploy" / "Containerfile"
LINES = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", FILE.read_text("utf-8"), flags=re.MULTILINE)).splitlines()
STEPS = [line.partition(" ") for line in LINES if line.strip()]
LAST = STEPS[max(n for n, step in enumerate(STEPS) if step[0] == "FROM") :]


def of(word: str) -> list[str]:
    """The arguments of the last stage's instructions of that name."""
    return [rest for name, _, rest in LAST if name == word]


def test_both_stages_begin_at_one_base_that_is_an_argument() -> None:
    """The environment links to the base's Python, and a registry may be out of reach."""
    froms = [rest.split()[0] for name, _, rest in STEPS if name == "FROM"]
    assert froms == ["${BASE}", "${BASE}"]
    assert STEPS[0][0] == "ARG"
    assert STEPS[0][2].startswith("BASE=")


def test_it_runs_as_nobody_in_particular_and_stops_on_sigterm() -> None:
    """By number, so that Kubernetes can see that it is not root; the program itself is PID 1, no shell before it."""
    assert of("USER") == ["10001:10001"]
    assert of("STOPSIGNAL") == ["SIGTERM"]
    assert of("ENTRYPOINT") == ['["stream-router"]']
    assert not [rest for rest in of("RUN") if re.search(r"apt|pip|gcc|curl", rest)]
    assert "STREAM_ROUTER_SPILL_DIR" not in " ".join(of("ENV")), (
        "a spill in a container's own layer would be lost with it"
    )


def test_image_and_chart_say_the_version_of_the_package() -> None:
    """A label is what an operator sees of an image, so a release that forgets one would be told as another."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", "utf-8")
    version = setup["metadata"]["version"]
    assert f"VERSION={version}" in of("ARG")
    chart = (ROOT / "deploy" / "helm" / "Chart.yaml").read_text("utf-8")
    assert re.findall(r'^(?:version|appVersion): "?([\d.]+)"?$', chart, re.MULTILINE) == [version, version]


def test_only_what_make_dist_made_is_in_the_context() -> None:
    """No checkout, no secret that lies about, no environment gets into a layer."""
    ignored = [line for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if not line.startswith("#")]
    assert ignored == ["*", "!dist/"]
    copied = [rest.split()[0] for name, _, rest in STEPS if name in ("COPY", "ADD") and not rest.startswith("--from")]
    assert all(source.startswith("dist/") for source in copied)


def test_what_installed_the_product_goes_out_again() -> None:
    """Nothing in the image can install packages into it, whichever Python the base has: 3.11 brings setuptools too."""
    (built,) = [rest for name, _, rest in STEPS if name == "RUN" and "venv" in rest]
    assert built.endswith("-m pip uninstall --quiet --yes setuptools pip")


@pytest.mark.parametrize("given", [True, False])
def test_a_ca_that_lies_in_dist_is_believed_by_pip_and_by_jars(tmp_path: Path, given: bool) -> None:
    """A mirror inside a company has a certificate of its own; without the file nothing is set."""
    (built,) = [rest for name, _, rest in STEPS if name == "RUN" and "venv" in rest]
    told = built.replace("/dist", str(tmp_path)).partition("sha256sum")[0]
    if given:
        (tmp_path / "ca.pem").write_text("a certificate")
    done = subprocess.run(
        ["/bin/sh", "-ec", f"{told} env"], env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=True
    )
    set_to = [line for line in done.stdout.splitlines() if line.startswith(("PIP_CERT=", "SSL_CERT_FILE="))]
    assert sorted(set_to) == [f"{name}={tmp_path}/ca.pem" for name in ("PIP_CERT", "SSL_CERT_FILE") if given]


def test_the_modules_that_it_calls_are_there() -> None:
    """A module that moves takes its name in the file with it: the build itself runs only where a builder is."""
    called = re.findall(r"-m (stream_router[\w.]*)", FILE.read_text("utf-8"))
    assert called
    assert all(importlib.util.find_spec(name) for name in called)


def test_no_jar_is_for_one_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    """The jars are Java alone, for x86-64 and arm64; `make deploy-check` asks the index for the wheels."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import platforms

    assert platforms.jars_of_one_platform() == 0
    assert platforms.NATIVE.search("io.netty:netty-transport-native-epoll:4.1.118.Final:linux-x86_64")
    assert {platform.partition("-")[0] for platform in platforms.PLATFORMS} == {"x86_64", "aarch64"}


@pytest.mark.skipif(shutil.which("hadolint") is None, reason="hadolint is not installed")
def test_hadolint_finds_nothing() -> None:
    """With its own rules, none switched off."""
    done = subprocess.run(["hadolint", FILE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
