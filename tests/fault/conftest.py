"""A world of real processes for each test of this folder that asks for one."""

from tests.system import conftest

make_world = conftest.make_world
