import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from netdiffuse.experiments.interrupts import interrupts_held, stop_on_interrupt


@contextmanager
def handling(handler):
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_first_interrupt_is_a_wish_and_the_second_an_order():
    stop = threading.Event()
    with handling(signal.default_int_handler):
        with stop_on_interrupt(stop):
            signal.raise_signal(signal.SIGINT)
            assert stop.is_set()
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def interrupted_while(save):
    with interrupts_held():
        signal.raise_signal(signal.SIGINT)
        save()


def test_while_it_saves_an_interrupt_waits():
    stop, saved = threading.Event(), []
    with handling(signal.default_int_handler):
        with stop_on_interrupt(stop):
            with interrupts_held():
                signal.raise_signal(signal.SIGINT)
                signal.raise_signal(signal.SIGINT)  # however impatient somebody is, it is one
                saved.append(stop.is_set())
            assert stop.is_set()
            with pytest.raises(KeyboardInterrupt):  # the second one of those that count
                interrupted_while(lambda: saved.append("all of it"))
        assert saved == [False, "all of it"]
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_what_fails_while_an_interrupt_waits_is_told():
    with handling(signal.default_int_handler):
        with pytest.raises(FileNotFoundError):
            interrupted_while(lambda: Path("no/such/file").read_text())
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_ignored_interrupt_stays_ignored():
    stop = threading.Event()
    with handling(signal.SIG_IGN), stop_on_interrupt(stop):
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        signal.raise_signal(signal.SIGINT)
    assert not stop.is_set()


ATTENDED = """
import signal, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
from netdiffuse.experiments.children import interrupt_when_input_ends
interrupt_when_input_ends()
try:
    print("ready", flush=True)  # within: the interrupt may come at once
    for _ in range(600):
        time.sleep(0.1)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_a_child_takes_the_end_of_its_input_for_an_interrupt():
    words = [sys.executable, "-c", ATTENDED]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.stdin.close()
        assert process.stdout.readline() == "interrupted\n"
    assert process.returncode == 0
