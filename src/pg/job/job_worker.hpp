#pragma once

// The life of a job worker: takes up the job of its slot, tells the result, waits for the next.

#include "pg/base/postgres.hpp"
#include "pg/job/worker_slots.hpp"

namespace tsext::pg {

/// Runs slot->job. Returns when it wants to run next.
using RunJobFunction = TimestampTz (*)(JobSlot *slot, void *state);

/// The beginning of a main function: takes the slot, connects as its owner; as the bootstrap
/// superuser when it has none.
JobSlot *BeginJobWorker(Datum argument);

/// Runs the slot's jobs until none has come for `linger_ms`, or the scheduler wants it to leave.
void JobWorkerLoop(JobSlot *slot, RunJobFunction run, void *state, int (*linger_ms)());

/// Signals, configuration: between two steps of work.
void HandleWorkerSignals();

/// Tells the scheduler (and tsext.job_runs, once it is recorded) that a run has begun.
void MarkRunStarted(JobSlot *slot, TimestampTz started, int64 run);

}  // namespace tsext::pg
