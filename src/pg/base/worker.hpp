#pragma once

// Background workers of ours: how the postmaster is told of them, and what their main functions
// have in common.

#include "pg/base/postgres.hpp"

extern "C" {
#include "postmaster/bgworker.h"
}

namespace tsext::pg {

/// A worker that connects to a database, begins when recovery is over, and is not started again by
/// the postmaster. `function`: its main function in this library; `type`: its name, also in
/// pg_stat_activity.
BackgroundWorker DescribeWorker(const char *function, const char *type);

/// Starts it. Its start and its end wake this process. Returns nullptr when no slot is free; else
/// the handle, in TopMemoryContext.
BackgroundWorkerHandle *StartWorker(BackgroundWorker *worker);

/// The beginning of a main function: SIGTERM ends the worker, SIGINT cancels its statement, at the
/// next CHECK_FOR_INTERRUPTS().
void TakeWorkerSignals();

/// Reads the configuration anew when that was asked for. Returns whether.
bool TakeNewConfiguration();

/// Waits for this process's latch, at most so long, and handles signals. Returns as
/// TakeNewConfiguration().
bool WaitForWork(long timeout_ms);

}  // namespace tsext::pg
