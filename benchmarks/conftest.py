"""Benchmarks run on every OpenCL device, as the tests do."""

from tests.conftest import engine as engine
