"""Signs of life of the threads that do the work."""

from __future__ import annotations

import threading

from keysvc.plugin.heartbeat import Heart, NoOp, Resting

LONG = 60.0


def test_a_thread_that_rests_answers_at_once_and_rests_on() -> None:
    resting, answered, ended = Resting(), threading.Event(), threading.Event()

    def work() -> None:
        resting.rest(LONG)
        ended.set()

    threading.Thread(target=work, daemon=True).start()
    resting.ask(answered.set)
    assert answered.wait(LONG)
    assert not ended.is_set()
    resting.wake()
    assert ended.wait(LONG)


def test_a_thread_that_was_woken_before_it_rests_does_not_rest() -> None:
    resting = Resting()
    resting.wake()
    resting.rest(LONG)


def test_what_was_asked_is_answered_also_without_a_rest() -> None:
    resting, answered = Resting(), threading.Event()
    resting.ask(answered.set)
    resting.rest(0)
    assert answered.is_set()


def test_a_thread_that_does_not_answer_is_silent_and_one_that_answers_again_is_not() -> None:
    resting, rounds = Resting(), threading.Semaphore(0)
    heart = Heart(rounds.release, interval=0.01)
    heart.watch("worker", resting.ask)
    heart.watch("event loop", lambda no_op: no_op())
    heart.start()
    try:
        for _ in range(20):
            assert rounds.acquire(timeout=LONG)
        assert heart.silent(0.05) == ("worker",)
        assert heart.silent(LONG) == ()
        resting.rest(0)
        assert heart.silent(LONG / 2) == ()
        assert heart.parts == ("worker", "event loop")
    finally:
        heart.stop()


def test_no_ops_of_a_thread_that_hangs_do_not_pile_up() -> None:
    resting, answered = Resting(), []
    no_op = answered.append

    def ask() -> None:
        no_op(None)

    for _ in range(5):
        resting.ask(ask)
    resting.rest(0)
    assert answered == [None]


def test_a_thread_whose_work_another_took_over_is_not_silent() -> None:
    """The no-op that the first one was given is never answered."""
    rounds, ended, successor = threading.Semaphore(0), Resting(), Resting()
    working = [ended]

    def ask(no_op: NoOp) -> None:
        working[0].ask(no_op)

    heart = Heart(rounds.release, interval=0.01)
    heart.watch("worker", ask)
    heart.start()
    try:
        for _ in range(30):
            assert rounds.acquire(timeout=LONG)
        assert heart.silent(0.05) == ("worker",)
        working[0] = successor
        for _ in range(3):
            assert rounds.acquire(timeout=LONG)
        successor.rest(0)
        assert heart.silent(LONG / 2) == ()
    finally:
        heart.stop()
