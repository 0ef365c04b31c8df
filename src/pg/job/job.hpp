#pragma once

// Jobs: what add_job() and the policies have in common. A job is a procedure (job_id int, config
// jsonb) or a function of this form, run as its owner on a schedule.

#include <cstdint>

#include "pg/base/postgres.hpp"

extern "C" {
#include "datatype/timestamp.h"
#include "utils/jsonb.h"
}

namespace tsext::pg {

struct NewJob {
  const char *name = nullptr;  // nullptr: made from the procedure's name
  const char *proc_schema = nullptr;
  const char *proc_name = nullptr;
  Oid relation = InvalidOid;  // what a policy is for; the job goes when the relation goes
  Interval schedule_interval{};
  Interval max_runtime{};   // zero: no limit
  int max_retries = -1;     // -1: for ever
  Interval retry_period{};  // zero: as schedule_interval, at most 5 minutes
  bool scheduled = true;
  bool fixed_schedule = true;  // false: the next start counts from the end of a run
  bool has_initial_start = false;
  TimestampTz initial_start = 0;
  const char *timezone = nullptr;  // of steps of days and months; nullptr: UTC
  Jsonb *config = nullptr;
  Oid check_config = InvalidOid;  // a function (config jsonb), called before config is stored
};

/// Adds a job owned by the current user and wakes the scheduler at commit. Errors: 22023 a schedule
/// that is not positive or mixes months with shorter units, an unknown time zone. Returns its id.
int AddJob(const NewJob &job);

/// The job of this procedure for this relation, 0: none. A relation has one policy of each kind.
int FindPolicy(const char *proc_name, Oid relation);
/// Deletes a job: its definition, its state; what it has done stays in tsext.job_runs. Asks for no
/// rights: who calls has.
void DeleteJob(int job_id);

/// For a policy's add function: OK to go on (0), or the id to return when there is one already
/// with equal settings or if_not_exists (with a NOTICE). Raises 42710 otherwise.
int CheckNewPolicy(const NewJob &job, bool if_not_exists);

/// For the procedures of built-in jobs: what tsext.job_runs says of this run's rows (they are added
/// up). Without effect when no job runs.
void ReportJobRows(int64 rows);

/// From _PG_init: jobs go with their relations and roles.
void InitJobs();

}  // namespace tsext::pg
