"""The size of a bench is an option, and `make test` leaves benches out."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--size", choices=["small", "middle", "base"], default="small")
