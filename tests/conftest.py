"""Failures in the contracts are told as readably as those in tests."""

import pytest

pytest.register_assert_rewrite("tests.contracts")
