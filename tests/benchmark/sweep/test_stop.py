"""What stops a sweep, and what does not."""

import os
import signal

import pytest

from disbench.benchmark.sweep import stop


@pytest.mark.parametrize("number", stop.SIGNALS)
def test_the_first_signal_asks_to_stop_and_the_second_ends_at_once(tmp_path, number):
    before = signal.getsignal(number)
    with stop.stoppable(tmp_path) as (file, why):
        assert (file.exists(), why()) == (False, "")
        os.kill(os.getpid(), number)
        assert (file.exists(), why()) == (True, stop.SIGNAL)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert not file.exists()
    assert signal.getsignal(number) == before


def test_a_lost_terminal_is_nothing_to_what_was_started_with_nohup(tmp_path):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop.stoppable(tmp_path) as (file, why):
            os.kill(os.getpid(), signal.SIGHUP)
            assert (file.exists(), why()) == (False, "")
    finally:
        signal.signal(signal.SIGHUP, before)


def test_programs_of_one_number_do_not_stop_each_other(tmp_path):
    """As on two machines, or in two containers, that share a run's folder."""
    with stop.stoppable(tmp_path) as (file, _):
        file.touch()
        with stop.stoppable(tmp_path) as (other, _):
            assert file.exists()
            assert not other.exists()
        assert file.exists()
    assert list(tmp_path.iterdir()) == []
