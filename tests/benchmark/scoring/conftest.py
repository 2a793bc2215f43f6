import pytest

from disbench.benchmark.scoring import apart, encoders

from .drawing import small_sprites


@pytest.fixture(autouse=True)
def at_hand(request, monkeypatch):
    """Encoders of strangers are read and run in this process, which takes a second less for each.

    Those of `test_apart.py` have a process of their own, as for a user.
    """
    if request.module.__name__.rpartition(".")[2] != "test_apart":
        monkeypatch.setattr(
            apart, "network", lambda path, kind, decodes=False: encoders.FORMATS[kind][1](path)
        )


@pytest.fixture(scope="module")
def sprites():
    """3 shapes, 2 scales and 8 x 8 places."""
    return small_sprites()
