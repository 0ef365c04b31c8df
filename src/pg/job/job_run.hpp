#pragma once

// One run of a job: its lock, the call of its procedure, what is recorded.

#include "pg/base/postgres.hpp"
#include "pg/job/job_table.hpp"

namespace tsext::pg {

/// A run of this process. Runs may be nested: a job may run others by hand, but not itself.
struct OwnRun {
  int job;
  OwnRun *outer;
};
extern OwnRun *own_runs;  // the innermost; nullptr: none

/// Tries to take the lock of which a running job has one. for_session: it outlives transactions,
/// also those that the job rolls back; UnlockRun() or the end of the session gives it back.
bool TryLockRun(int job_id, bool for_session);
void UnlockRun(int job_id);

/// The statement that runs the job's procedure: CALL … or SELECT …. Raises 42883 when there is no
/// such procedure (any more).
char *RunStatement(const Job &job);

/// What has become of a run: finishes its row (inserts it when it has none yet), counts, sets the
/// next start, unless somebody has set another since the run began, pauses a job that has failed
/// too often. The job is locked. run->finished is set already.
void SettleRun(Job *job, JobRun *run);

/// Whether a job ended later than now: the clock has been set back, and what was counted from there
/// would be waited for as long again.
bool ClockWasSetBack(const JobState &state, TimestampTz now);

/// Looks for the first start from now on, for TrySubtransaction(); `state`: what was last recorded.
StartSearch SearchFrom(const Job &job, const JobState &state, TimestampTz now);

/// The next start of a job for which ClockWasSetBack() holds: the start that was found, or sooner.
TimestampTz StartAfterSetBack(const Job &job, const JobState &state, const StartSearch &search);

/// Whether an error is of those that pass by themselves: no space, no memory, a system's error.
/// What could not be recorded for it is tried until it is.
bool MayPass(const ErrorData *error);

/// A text of at most some 2,000 bytes, for messages.
char *ShortMessage(const char *message);

/// What ReportJobRows() has summed up since the last call, -1: nothing; starts anew.
int64 TakeReportedRows();

}  // namespace tsext::pg
