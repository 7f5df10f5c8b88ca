"""parliament's findings on a policy (standard input), one a line: `python -m tests.policy_linter < policy.json`.

A process of its own: parliament 1.6.4 asks pkg_resources for two paths, which setuptools has no more.
"""

import importlib.resources
import sys
import types

paths = types.ModuleType("pkg_resources")
paths.resource_filename = lambda package, name: str(importlib.resources.files(package) / name)  # type: ignore[attr-defined]
sys.modules["pkg_resources"] = paths

import parliament  # type: ignore[import-untyped]  # noqa: E402 - it reads its files when it is imported

for finding in parliament.analyze_policy_string(sys.stdin.read()).findings:
    sys.stdout.write(f"{finding.issue} {finding.detail}\n")
