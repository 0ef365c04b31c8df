#pragma once

// Alert rules: their definitions in tsext.alert, and the SQL that reads and writes the tables of
// alert.sql. All functions here want an SPI connection of the caller's.

#include <cstdint>

#include "pg/base/postgres.hpp"

extern "C" {
#include "datatype/timestamp.h"
#include "utils/jsonb.h"
}

namespace tsext::pg {

enum class NoData : uint8_t { kKeep, kResolve, kFire };

struct Alert {
  const char *name;
  Oid owner;  // of its job, while it has one
  int job_id;
  const char *query;
  const char *condition;
  Interval for_duration;
  const char *notify_channel;
  NoData no_data;
  const char *search_path;  // quoted names of schemas, "" for none
  const char *timezone;
  int version;
};

/// 'keep' and so on; raises 22023 for another word.
NoData ParseNoData(const char *word);
const char *NoDataName(NoData no_data);

/// The definition, in the current memory context; nullptr: there is none. `lock`: the row stays
/// locked until the transaction ends, so that neither changes nor evaluations come between.
enum class RowLock : uint8_t { kNone, kUpdate };
Alert *LoadAlert(const char *name, RowLock lock);
/// The same, of which the current user may be the owner. Raises 42704 when there is none, 42501
/// unless they are a member of the owner's role. The row of no alert is locked while its job may be
/// waited for.
Alert *FindAlert(const char *name, RowLock lock);

/// Inserts a new definition, or replaces the one of this name and counts its version up.
void InsertAlert(const Alert &alert);
void UpdateAlert(const Alert &alert);
/// With status, instances and history.
void DeleteAlert(const char *name);

/// One statement of the catalog: with the rights of its owner and a search path of pg_catalog
/// alone. The result is in SPI_tuptable. `nulls` as of SPI_execute_with_args.
void ExecuteOnCatalog(const char *sql, int count, Oid *types, Datum *values, const char *nulls);

/// Sets a setting until the current level of settings ends.
void SetLocally(const char *setting, const char *value);

/// A message of a change of state, sent when the transaction commits:
/// {"name","labels","state","value","at"}; shorter than 8,000 bytes, with "cut": true where labels
/// had to be cut. `value` may be nullptr.
void NotifyChange(const Alert &alert, Jsonb *labels, const char *state, const char *value,
                  TimestampTz at);
/// {"name","state":"error","sqlstate","message","at"}, and {"name","state":"ok","at"} when there is
/// no sqlstate.
void NotifyError(const Alert &alert, const char *sqlstate, const char *message, TimestampTz at);

}  // namespace tsext::pg
