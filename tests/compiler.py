"""The C compiler that is there, for libraries that a test preloads."""

import pytest

from tests.fault.chaos_run.clock import COMPILER

needs_a_compiler = pytest.mark.skipif(not COMPILER, reason="no C compiler")
