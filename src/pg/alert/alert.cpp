// The table of definitions, and the one way into the tables of alerts: SQL with the rights of their
// owner, as nobody else may write them.

#include "pg/alert/alert.hpp"

#include <cstring>

#include "pg/base/boundary.hpp"
#include "pg/catalog/segment.hpp"

extern "C" {
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
}

namespace tsext::pg {

namespace {

Oid CatalogOwner() {
  HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(CatalogRelation("alert")));
  if (!HeapTupleIsValid(tuple)) elog(ERROR, "cache lookup failed for tsext.alert");
  const Oid owner = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple))->relowner;
  ReleaseSysCache(tuple);
  return owner;
}

enum Column : int {
  kOwner = 1,
  kJob,
  kQuery,
  kCondition,
  kForDuration,
  kChannel,
  kNoDataColumn,
  kSearchPath,
  kTimezone,
  kVersion
};
#define REST_OF_COLUMNS                                                                      \
  "job_id, query, condition, for_duration, notify_channel, no_data, search_path, timezone, " \
  "version"
#define ALERT_COLUMNS "owner, " REST_OF_COLUMNS
// The job is of the same owner, and REASSIGN OWNED gives it another; then the alert is theirs too.
#define FROM_ALERT                                                                                \
  "SELECT coalesce((SELECT j.owner FROM tsext.job j WHERE j.id = a.job_id AND j.proc_schema = "   \
  "'tsext' AND "                                                                                  \
  "j.proc_name = 'evaluate_alert' AND j.config ->> 'alert' = a.name), a.owner), " REST_OF_COLUMNS \
  " FROM tsext.alert a WHERE a.name = $1"

constexpr int kWriteCount = 11;
Oid write_types[kWriteCount] = {TEXTOID, OIDOID,  INT4OID, TEXTOID, TEXTOID, INTERVALOID,
                                NAMEOID, TEXTOID, TEXTOID, TEXTOID, INT4OID};

/// The values of write_types, in this order: name, then ALERT_COLUMNS.
void WriteValues(const Alert &alert, Datum *values) {
  values[0] = CStringGetTextDatum(alert.name);
  values[kOwner] = ObjectIdGetDatum(alert.owner);
  values[kJob] = Int32GetDatum(alert.job_id);
  values[kQuery] = CStringGetTextDatum(alert.query);
  values[kCondition] = CStringGetTextDatum(alert.condition);
  auto *for_duration = static_cast<Interval *>(palloc(sizeof(Interval)));
  *for_duration = alert.for_duration;
  values[kForDuration] = IntervalPGetDatum(for_duration);
  auto *channel = static_cast<Name>(palloc0(sizeof(NameData)));
  namestrcpy(channel, alert.notify_channel);
  values[kChannel] = NameGetDatum(channel);
  values[kNoDataColumn] = CStringGetTextDatum(NoDataName(alert.no_data));
  values[kSearchPath] = CStringGetTextDatum(alert.search_path);
  values[kTimezone] = CStringGetTextDatum(alert.timezone);
  values[kVersion] = Int32GetDatum(alert.version);
}

Datum ColumnOf(HeapTuple tuple, Column column) {
  bool is_null;
  return SPI_getbinval(tuple, SPI_tuptable->tupdesc, column, &is_null);
}

const char *TextOf(HeapTuple tuple, Column column) {
  return SPI_getvalue(tuple, SPI_tuptable->tupdesc, column);
}

constexpr const char *kNoDataWords[] = {"keep", "resolve", "fire"};

}  // namespace

NoData ParseNoData(const char *word) {
  for (int i = 0; i < 3; i++) {
    if (strcmp(word, kNoDataWords[i]) == 0) return static_cast<NoData>(i);
  }
  ereport(
      ERROR,
      (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid value of no_data: \"%s\"", word),
       errhint("Without data an alert may \"keep\" its state, \"resolve\", or \"fire\".")));
  pg_unreachable();
}

const char *NoDataName(NoData no_data) {
  return kNoDataWords[static_cast<int>(no_data)];
}

void SetLocally(const char *setting, const char *value) {
  (void)set_config_option(setting, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
                          false);
}

void ExecuteOnCatalog(const char *sql, int count, Oid *types, Datum *values, const char *nulls) {
  // An error rolls a subtransaction back, which restores both.
  Oid user;
  int context;
  GetUserIdAndSecContext(&user, &context);
  SetUserIdAndSecContext(CatalogOwner(), context | SECURITY_LOCAL_USERID_CHANGE);
  const int level = NewGUCNestLevel();
  SetLocally("search_path", "pg_catalog, pg_temp");
  if (SPI_execute_with_args(sql, count, types, values, nulls, false, 0) < 0)
    elog(ERROR, "could not run: %s", SPI_result_code_string(SPI_result));
  AtEOXact_GUC(false, level);
  SetUserIdAndSecContext(user, context);
}

Alert *LoadAlert(const char *name, RowLock lock) {
  Oid type = TEXTOID;
  Datum key = CStringGetTextDatum(name);
  ExecuteOnCatalog(lock == RowLock::kNone ? FROM_ALERT : FROM_ALERT " FOR NO KEY UPDATE", 1, &type,
                   &key, nullptr);
  if (SPI_processed == 0) return nullptr;
  HeapTuple tuple = SPI_tuptable->vals[0];
  auto *alert = static_cast<Alert *>(palloc0(sizeof(Alert)));
  alert->name = pstrdup(name);
  alert->owner = DatumGetObjectId(ColumnOf(tuple, kOwner));
  alert->job_id = DatumGetInt32(ColumnOf(tuple, kJob));
  alert->query = TextOf(tuple, kQuery);
  alert->condition = TextOf(tuple, kCondition);
  alert->for_duration = *DatumGetIntervalP(ColumnOf(tuple, kForDuration));
  alert->notify_channel = TextOf(tuple, kChannel);
  alert->no_data = ParseNoData(TextOf(tuple, kNoDataColumn));
  alert->search_path = TextOf(tuple, kSearchPath);
  alert->timezone = TextOf(tuple, kTimezone);
  alert->version = DatumGetInt32(ColumnOf(tuple, kVersion));
  SPI_freetuptable(SPI_tuptable);
  return alert;
}

Alert *FindAlert(const char *name, RowLock lock) {
  Alert *alert = LoadAlert(name, lock);
  if (alert == nullptr) {
    ereport(ERROR,
            (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("alert \"%s\" does not exist", name)));
  }
  if (!is_member_of_role(GetUserId(), alert->owner)) {
    ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                    errmsg("must be member of the role that owns alert \"%s\"", name)));
  }
  return alert;
}

void InsertAlert(const Alert &alert) {
  Datum values[kWriteCount];
  WriteValues(alert, values);
  ExecuteOnCatalog("INSERT INTO tsext.alert (name, " ALERT_COLUMNS
                   ", created) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, "
                   "clock_timestamp())",
                   kWriteCount, write_types, values, nullptr);
}

void UpdateAlert(const Alert &alert) {
  Datum values[kWriteCount];
  WriteValues(alert, values);
  ExecuteOnCatalog("UPDATE tsext.alert SET (" ALERT_COLUMNS
                   ") = ($2, $3, $4, $5, $6, $7, $8, $9, $10, $11 + 1) WHERE name = $1",
                   kWriteCount, write_types, values, nullptr);
}

void DeleteAlert(const char *name) {
  Oid type = TEXTOID;
  Datum key = CStringGetTextDatum(name);
  for (const char *sql : {"DELETE FROM tsext.alert WHERE name = $1",
                          "DELETE FROM tsext.alert_status WHERE alert = $1",
                          "DELETE FROM tsext.alert_instance WHERE alert = $1",
                          "DELETE FROM tsext.alert_event WHERE alert = $1"})
    ExecuteOnCatalog(sql, 1, &type, &key, nullptr);
}

}  // namespace tsext::pg
