#pragma once

// Rows of tsext.job, tsext.job_state and tsext.job_run. Written beneath privileges: who calls has
// checked them. Everything returned is palloc'd.

#include "pg/base/postgres.hpp"
#include "pg/job/schedule.hpp"

extern "C" {
#include "storage/itemptr.h"
#include "utils/jsonb.h"
}

namespace tsext::pg {

inline constexpr int kCompactionJob = 1;
inline constexpr int kFirstUserJob = 1000;

inline constexpr AttrNumber kJobOwnerColumn = 3;  // of tsext.job

/// A row of tsext.job.
struct Job {
  int id;
  char *name;
  Oid owner;
  char *proc_schema, *proc_name;
  Oid relation;  // InvalidOid: none
  Schedule schedule;
  Interval max_runtime;  // zero: no limit
  int max_retries;       // -1: for ever
  Interval retry_period;
  bool scheduled;
  Jsonb *config;                    // nullptr: none
  char *check_schema, *check_name;  // nullptr: none
  ItemPointerData tid;
};

/// A row of tsext.job_state. Times of 0 stand for NULL.
struct JobState {
  int job;
  TimestampTz next_start, last_start, last_finish, last_success;
  const char *last_outcome;
  int64 runs, failures, crashes;
  int consecutive_failures;
  bool exists;
  ItemPointerData tid;
};

/// A row of tsext.job_run.
struct JobRun {
  int64 id;
  int job;
  const char *job_name;
  const char *owner;
  int pid;
  TimestampTz started, finished;  // finished 0: runs
  const char *outcome;
  const char *sqlstate, *message;  // nullptr: none
  int64 rows;                      // -1: unknown
  TimestampTz planned_next;        // next_start when it began, no column; 0: unknown
  ItemPointerData tid;
};

/// Waits until nobody else changes this job or its state, to the end of the transaction.
void LockJob(int job_id);
/// The same without waiting.
bool TryLockJob(int job_id);

/// As the newest snapshot shows it; nullptr: there is none.
Job *FindJob(int job_id);
/// All jobs (a List of Job *).
List *LoadJobs();
void InsertJob(Job *job);
void UpdateJob(Job *job);
/// With its state.
void DeleteJobRow(Job *job);

JobState FindJobState(int job_id);
/// Inserts or updates.
void WriteJobState(const JobState &state);

/// Gives the run its id.
void InsertJobRun(JobRun *run);
/// What has become of a run: finished, outcome, sqlstate, message, rows of run->id. The row may be
/// gone (somebody has deleted old runs).
void FinishJobRun(const JobRun &run);
/// Runs that have not finished (a List of JobRun *).
List *UnfinishedRuns();
/// Deletes runs that finished before `before`.
void DeleteOldRuns(TimestampTz before);

/// Holds the owner's role against DROP ROLE as long as it owns jobs, or lets it go.
void HoldOwner(Oid owner);

/// Deletes jobs with their states: of a relation, or of a role. Returns how many.
int DeleteJobsOfRelation(Oid relation);
int DeleteJobsOfOwner(Oid owner);
/// Gives jobs to another owner: those of a role (REASSIGN OWNED), or of a relation. Return how
/// many.
int ReassignJobs(Oid from, Oid to);
int GiveJobsOfRelation(Oid relation, Oid to);

}  // namespace tsext::pg
