"""What a cluster of 200 threads would do, by the costs that were measured; nothing here depends on the clock."""

from benchmarks.cluster_simulation import RARE, TASK_S, WRITER_S, rate


def test_two_hundred_threads_reach_95_percent_when_workers_write_their_parts():
    assert rate(200, TASK_S, 0.0) >= 9500


def test_one_writer_is_what_bounds_records_that_come_back():
    assert 1500 < rate(200, TASK_S, WRITER_S) < 1 / WRITER_S


def test_stragglers_and_a_slow_worker_cost_the_end_of_the_run_only():
    assert rate(200, TASK_S, 0.0, rare=RARE) > 9000
    assert rate(200, TASK_S, 0.0, slow=1) > 9000
    assert rate(3, TASK_S, 0.0, slow=1) >= 0.99 * 100  # as many as without it
