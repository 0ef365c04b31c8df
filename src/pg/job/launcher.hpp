#pragma once

// The launcher: one background worker of the cluster that keeps a scheduler in every database that
// has the extension, and starts the workers of other features.

#include "pg/base/postgres.hpp"

namespace tsext::pg {

/// From _PG_init: registers the launcher and its shared memory when the library is preloaded;
/// without preloading there are no background workers and tsext.compact() is the way.
void InitLauncher();

/// Adds a duty to the launcher's rounds, from _PG_init: the feature starts its own workers. `task`
/// returns the milliseconds after which it wants to be called again, -1: with the next round. It
/// runs outside of a transaction.
void AddLauncherTask(int (*task)());

/// Lets the scheduler of this database look at its jobs anew after the commit.
void WakeSchedulerAtCommit();

/// From the install script: lets the launcher look for the new extension right after the commit.
void WakeLauncherAtCommit();

}  // namespace tsext::pg

extern "C" {
PGDLLEXPORT void tsext_launcher_main(Datum argument);
PGDLLEXPORT void tsext_scheduler_main(Datum argument);
PGDLLEXPORT void tsext_job_worker_main(Datum argument);
PGDLLEXPORT void tsext_compact_worker_main(Datum argument);
}
