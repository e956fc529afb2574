"""Applies to all tests."""


def pytest_collection_modifyitems(items):
    """Fast tests first: an ordinary mistake shows up within seconds."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)
