import gc
import signal
import weakref

import pytest

from runge.interruption import Interruption


class Node:
    pass


def test_a_signal_in_the_callback_of_a_weak_reference_is_not_lost(monkeypatch):
    """Where Python ignores a KeyboardInterrupt."""
    monkeypatch.setattr(Interruption, "PATIENCE", 600)  # collecting takes long on a busy machine
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
    monkeypatch.setattr(Interruption, "PATIENCE", 600)
    interruption = Interruption()
    with interruption.handled():
        signal.raise_signal(signal.SIGTERM)
        remaining, interval = signal.getitimer(signal.ITIMER_REAL)
        assert remaining > interval == 1
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGALRM)
        interruption.obey()
        assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
        with pytest.raises(KeyboardInterrupt):  # a second signal
            signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
