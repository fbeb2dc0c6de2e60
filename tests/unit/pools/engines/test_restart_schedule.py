from __future__ import annotations

from overspill.pools.engines.restarts import RestartPolicy, RestartSchedule


def test_pauses_double_up_to_the_longest() -> None:
    schedule = RestartSchedule(RestartPolicy(first_s=1.0, max_s=5.0, crash_limit=10))
    assert [schedule.after_end(0.0, is_final=False).pause_s for _ in range(5)] == [1.0, 2.0, 4.0, 5.0, 5.0]


def test_too_many_deaths_in_the_window_break_the_loop() -> None:
    schedule = RestartSchedule(RestartPolicy(crash_limit=3, window_s=60.0, broken_s=90.0))
    pauses = [schedule.after_end(now, is_final=False) for now in (0.0, 10.0, 20.0)]
    assert [pause.is_broken for pause in pauses] == [False, False, True]
    assert pauses[2].pause_s == 90.0
    assert "died 3 times within 60 s" in pauses[2].prefix


def test_old_deaths_are_forgotten() -> None:
    schedule = RestartSchedule(RestartPolicy(first_s=1.0, crash_limit=2, window_s=60.0))
    assert not schedule.after_end(0.0, is_final=False).is_broken
    later = schedule.after_end(61.0, is_final=False)
    assert (later.is_broken, later.pause_s) == (False, 1.0)


def test_after_a_rest_the_count_begins_anew() -> None:
    schedule = RestartSchedule(RestartPolicy(crash_limit=2))
    ends = [schedule.after_end(0.0, is_final=False).is_broken for _ in range(4)]
    assert ends == [False, True, False, True]


def test_an_engine_that_says_it_cannot_work_rests_at_once() -> None:
    pause = RestartSchedule(RestartPolicy(broken_s=60.0)).after_end(0.0, is_final=True)
    assert (pause.pause_s, pause.is_broken, pause.prefix) == (60.0, True, "")
