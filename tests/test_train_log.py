"""Reading of ESPnet's log; the lines are those of a real training of ESPnet 202611."""

import logging
import math
from datetime import datetime

from espnet_ext.train_log import (
    Batches,
    EpochStarted,
    EpochStats,
    Failure,
    from_reporter,
    line_time,
    parse_line,
    parse_timespan,
    read_logs,
    stopped_as_invalid,
)

HEAD = "[host] 2026-11-21 06:56:30,424 (trainer:392) "
RESULTS = (
    f"{HEAD}INFO: 1epoch results: [train] iter_time=0.004, loss_ctc=442.432, loss=443.343, optim0_lr0=2.447e-04, "
    "train_time=0.618, time=1 hour, 3 minutes and 45.17 seconds, total_count=364, [valid] loss_ctc=248.698, "
    "cer_ctc=0.953, loss_att=nan, loss=248.660, time=13.86 seconds, total_count=29\n"
)


def test_epoch_results():
    epoch = parse_line(RESULTS)
    assert isinstance(epoch, EpochStats) and epoch.epoch == 1
    assert epoch.get("train", "loss") == 443.343 and epoch.get("valid", "cer_ctc") == 0.953
    assert epoch.get("train", "optim0_lr0") == 2.447e-4
    assert math.isnan(epoch.get("valid", "loss_att")) and math.isnan(epoch.get("valid", "no_such_statistic"))
    assert epoch.seconds == {"train": 3825.17, "valid": 13.86}
    assert epoch.students() == []


def test_other_lines():
    assert parse_line(f"{HEAD}INFO: 5/22epoch started. Estimated time to finish: 1 minute\n") == EpochStarted(5, 22)
    batches = parse_line(f"{HEAD}INFO: 5epoch:train:101-200batch: loss=nan, e4_loss=1.000e-05, e4_mse=2.0\n")
    assert isinstance(batches, Batches) and (batches.first, batches.last, batches.stats["e4_loss"]) == (101, 200, 1e-5)
    assert parse_line(f"{HEAD}ERROR: out of memory\n") == Failure("out of memory")
    assert parse_line("  warnings.warn('x')\n") is None


def test_times():
    assert line_time(RESULTS) == datetime(2026, 11, 21, 6, 56, 30, 424000)
    assert line_time("# Started at Sat Nov  7 06:52:22 UTC 2026\n") == datetime(2026, 11, 7, 6, 52, 22)
    assert line_time("Traceback (most recent call last):\n") is None


def test_timespans_as_humanfriendly_writes_them():
    import humanfriendly

    for seconds in (0.05, 0.5, 1, 13.86, 61, 3600, 7384.2, 90061, 8 * 86400):
        assert math.isclose(parse_timespan(humanfriendly.format_timespan(seconds)), seconds, abs_tol=1)


def test_what_the_real_reporter_prints_is_read_back():
    from espnet2.train.reporter import Reporter

    reporter = Reporter()
    reporter.set_epoch(1)
    for phase in ("train", "valid"):
        with reporter.observe(phase) as sub:
            for _ in range(3):
                sub.register({"loss": 1234.5, "e4_loss": 1.25, "e4_mse": -0.0001, "e2_loss": float("nan")}, weight=2)
                sub.next()
            if phase == "train":
                batches = sub.log_message()
    record = logging.makeLogRecord({"msg": reporter.log_message(), "module": "trainer", "lineno": 392})
    record.levelname = "INFO"
    line = logging.Formatter("[host] %(asctime)s (%(module)s:%(lineno)d) %(levelname)s: %(message)s").format(record)
    epoch, state = parse_line(line), from_reporter(reporter.state_dict())[0]
    assert epoch.students() == state.students() == ["e4", "e2"]
    for key in ("loss", "e4_loss", "e4_mse"):
        assert math.isclose(epoch.get("train", key), state.get("train", key), rel_tol=1e-3)
    assert math.isnan(epoch.get("train", "e2_loss")) and math.isnan(state.get("train", "e2_loss"))
    assert state.get("valid", "loss") == 1234.5 and state.total_sec >= 0
    assert parse_line(f"{HEAD}INFO: {batches}").last == 3


def test_a_resumed_training_is_read_from_all_its_logs(tmp_path):
    def write(name, *epochs, value):
        results = RESULTS.replace("443.343", str(value))
        lines = [f"{HEAD}INFO: {n}/9epoch started\n" + results.replace("1epoch results", f"{n}epoch results")
                 for n in epochs]  # fmt: skip
        (tmp_path / name).write_text("".join(lines))

    write("train.2.log", 1, 2, 3, value=30)
    write("train.1.log", 3, 4, value=20)  # epoch 3 was trained again
    write("train.log", 5, value=10)
    assert [(e.epoch, e.get("train", "loss")) for e in read_logs(tmp_path)] == [
        (1, 30),
        (2, 30),
        (3, 20),
        (4, 20),
        (5, 10),
    ]
    write("train.log", 1, value=5)
    assert [(e.epoch, e.get("train", "loss")) for e in read_logs(tmp_path)] == [(1, 5)]


def test_stop_because_of_invalid_gradients(tmp_path):
    assert not stopped_as_invalid(tmp_path)
    (tmp_path / "train.log").write_text(f"{HEAD}WARNING: The gradients at all steps are invalid in this epoch. Some\n")
    assert stopped_as_invalid(tmp_path)


def test_students_with_dashes_in_their_names_are_told_apart():
    line = f"{HEAD}INFO: 1epoch results: [train] a-b_loss=1.5, c-b_loss=2.5, loss=4, time=1 second"
    epoch = parse_line(line)
    assert epoch.students() == ["a-b", "c-b"] and epoch.get("train", "c-b_loss") == 2.5
