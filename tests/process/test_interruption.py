import gc
import signal
import time
import weakref

import pytest

from runge.process.interruption import ENDING, Interruption
from tests.sweeps.commands import PATIENCE


class Node:
    pass


def test_a_signal_in_the_callback_of_a_weak_reference_is_not_lost(monkeypatch):
    """Where Python ignores a KeyboardInterrupt."""
    monkeypatch.setattr(Interruption, "PATIENCE", PATIENCE)  # collecting takes long on a busy machine
    interruption = Interruption()
    with interruption.handled():
        node = Node()
        reference = weakref.ref(node, lambda _: signal.raise_signal(signal.SIGINT))
        del node
        gc.collect()
        assert reference() is None
        with pytest.raises(KeyboardInterrupt):
            interruption.check()


def test_what_does_not_look_is_interrupted_until_it_obeys(monkeypatch):
    monkeypatch.setattr(Interruption, "PATIENCE", 0.01)
    interruption = Interruption()
    with interruption.handled(*ENDING):
        signal.raise_signal(signal.SIGTERM)
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                time.sleep(PATIENCE)
        interruption.obey()
        with pytest.raises(KeyboardInterrupt):  # a second signal
            signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_signals_of_a_program_are_left_to_it():
    """Also where a library has installed handlers of its own."""
    interruption, heard = Interruption(), []
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    try:
        with interruption.handled():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            interruption.install()
            signal.raise_signal(signal.SIGTERM)
            assert (heard, interruption.requested) == ([signal.SIGTERM], False)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_request_that_is_settled_is_followed_by_new_ones():
    """What an interrupted search leaves is written after it, and may be interrupted, too."""
    interruption = Interruption()
    with interruption.handled(signal.SIGTERM):
        for _ in range(2):
            signal.raise_signal(signal.SIGTERM)
            with pytest.raises(KeyboardInterrupt):
                interruption.check()
            interruption.settle()
            interruption.check()
