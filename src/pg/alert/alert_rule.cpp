// tsext.create_alert(), alter_alert(), drop_alert(): the definition and its job. The job says when
// and whether the alert is evaluated; it belongs to the owner of the alert.

#include <cstring>

#include "pg/alert/alert.hpp"
#include "pg/alert/alert_query.hpp"
#include "pg/alert/alert_state.hpp"
#include "pg/base/boundary.hpp"
#include "pg/base/read_only.hpp"
#include "pg/catalog/segment.hpp"

extern "C" {
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "pgtime.h"
#include "tcop/utility.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
}

namespace tsext::pg {

namespace {

constexpr int kMaxNameBytes = 128;
constexpr int kMaxQueryBytes = 1024 * 1024;

// ---- arguments ----

void CheckName(const char *name) {
  bool valid = name[0] != '\0' && strlen(name) <= kMaxNameBytes;
  for (const char *at = name; *at != '\0'; at++)
    valid &= static_cast<unsigned char>(*at) >= ' ' && *at != '\x7f';
  if (!valid) {
    ereport(
        ERROR,
        (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid name of an alert: \"%s\"", name),
         errdetail("A name has 1 to %d bytes without control characters.", kMaxNameBytes)));
  }
}

void CheckLength(const char *what, const char *text) {
  if (strlen(text) <= kMaxQueryBytes) return;
  ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                  errmsg("the %s of an alert is longer than %d bytes", what, kMaxQueryBytes)));
}

void CheckInterval(const char *argument, const Interval &interval, int64 minimum_us) {
  // Hundreds of years more would leave the range of timestamps.
  constexpr int kMaxMonths = 100 * MONTHS_PER_YEAR;
  constexpr int kMaxDays = 36525;
  if (interval.month != 0 && (interval.day != 0 || interval.time != 0)) {
    ereport(ERROR,
            (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
             errmsg("%s mixes months with days or times", argument),
             errhint("Use either months and years, or weeks, days, hours and shorter units.")));
  }
  const bool is_long_enough = interval.month > 0 || interval.day > 0 || interval.time >= minimum_us;
  if (interval.month < 0 || interval.day < 0 || interval.time < 0 || !is_long_enough) {
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    minimum_us == 0 ? errmsg("%s must not be negative", argument)
                                    : errmsg("%s must be at least one second", argument)));
  }
  if (interval.month > kMaxMonths || interval.day > kMaxDays ||
      interval.time > kMaxDays * USECS_PER_DAY) {
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("%s is longer than a hundred years", argument)));
  }
}

void CheckEvery(const Interval &every) {
  CheckInterval("every", every, USECS_PER_SEC);
}

void CheckForDuration(const Interval &for_duration) {
  CheckInterval("for_duration", for_duration, 0);
}

void CheckChannel(const char *channel) {
  if (channel[0] != '\0') return;
  ereport(ERROR,
          (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("notify_channel must not be empty"),
           errhint("Name what listeners say after LISTEN.")));
}

/// The schemas names are looked up in now, without temporary ones.
const char *CurrentSearchPath() {
  StringInfoData path;
  initStringInfo(&path);
  ListCell *cell;
  foreach (cell, fetch_search_path(false)) {
    const Oid schema = lfirst_oid(cell);
    const char *name = isAnyTempNamespace(schema) ? nullptr : get_namespace_name(schema);
    if (name == nullptr) continue;
    appendStringInfo(&path, "%s%s", path.len > 0 ? ", " : "", quote_identifier(name));
  }
  return path.data;
}

/// Names in a query mean what they mean to who writes it.
void TakeSession(Alert *alert) {
  alert->search_path = CurrentSearchPath();
  alert->timezone = pg_get_timezone_name(session_timezone);
}

// ---- the job ----

/// A statement that calls a function of jobs, with the rights of the current user.
void CallJobs(const char *sql, int count, Oid *types, Datum *values, const char *nulls) {
  if (SPI_execute_with_args(sql, count, types, values, nulls, false, 0) < 0)
    elog(ERROR, "could not run: %s", SPI_result_code_string(SPI_result));
}

/// Adds the job that evaluates the alert, as one of its owner.
int AddAlertJob(const Alert &alert, const Interval &every) {
  Oid user;
  int context;
  GetUserIdAndSecContext(&user, &context);
  const char *schema = ExtensionSchema();
  // An error restores the user as it ends the (sub)transaction.
  SetUserIdAndSecContext(alert.owner, context | SECURITY_LOCAL_USERID_CHANGE);
  Interval interval = every;
  Oid types[] = {TEXTOID, INTERVALOID, TEXTOID};
  Datum values[] = {CStringGetTextDatum(alert.name), IntervalPGetDatum(&interval),
                    CStringGetTextDatum(psprintf("alert %s", alert.name))};
  CallJobs(psprintf("SELECT %s.add_job('tsext.evaluate_alert'::pg_catalog.regproc, $2, "
                    "config => pg_catalog.jsonb_build_object('alert'::pg_catalog.text, $1), "
                    "job_name => $3)",
                    schema),
           3, types, values, nullptr);
  bool is_null;
  Datum job = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null);
  // A query that hangs is an error that shows, not an alert that is silent.
  types[0] = INT4OID;
  values[0] = job;
  CallJobs(psprintf("SELECT FROM %s.alter_job($1, max_runtime => greatest($2, '1 min'))", schema),
           2, types, values, nullptr);
  SetUserIdAndSecContext(user, context);
  return DatumGetInt32(job);
}

/// Whether the job of the alert is still there and does evaluate this alert.
bool HasJob(const Alert &alert) {
  Oid types[] = {INT4OID, TEXTOID};
  Datum values[] = {Int32GetDatum(alert.job_id), CStringGetTextDatum(alert.name)};
  ExecuteOnCatalog(
      "SELECT FROM tsext.job WHERE id = $1 AND proc_schema = 'tsext' AND proc_name = "
      "'evaluate_alert' AND config ->> 'alert' = $2",
      2, types, values, nullptr);
  return SPI_processed > 0;
}

/// Sets what is not nullptr, and has the job run soon: what was changed should show.
void AlterAlertJob(const Alert &alert, const Interval *every, const bool *enabled) {
  Oid types[] = {INT4OID, INTERVALOID, BOOLOID};
  Datum values[] = {Int32GetDatum(alert.job_id),
                    every != nullptr ? IntervalPGetDatum(every) : Datum(0),
                    enabled != nullptr ? BoolGetDatum(*enabled) : Datum(0)};
  const char nulls[] = {' ', every != nullptr ? ' ' : 'n', enabled != nullptr ? ' ' : 'n', '\0'};
  // The limit follows `every`, unless somebody has set another.
  CallJobs(psprintf("SELECT FROM %s.alter_job($1, schedule_interval => $2, scheduled => $3, "
                    "next_start => pg_catalog.now(), max_runtime => (SELECT greatest($2, '1 min') "
                    "FROM tsext.job j WHERE $2 IS NOT NULL AND j.id OPERATOR(pg_catalog.=) $1 AND "
                    "j.max_runtime OPERATOR(pg_catalog.=) greatest(j.schedule_interval, '1 min')))",
                    ExtensionSchema()),
           3, types, values, nulls);
}

void DeleteAlertJob(const Alert &alert) {
  Oid type = INT4OID;
  Datum value = Int32GetDatum(alert.job_id);
  CallJobs(psprintf("SELECT %s.delete_job($1)", ExtensionSchema()), 1, &type, &value, nullptr);
}

// ---- the functions ----

const char *TextArgument(FunctionCallInfo fcinfo, int argument) {
  return text_to_cstring(PG_GETARG_TEXT_PP(argument));
}

int CreateAlert(FunctionCallInfo fcinfo) {
  Alert alert{};
  alert.name = TextArgument(fcinfo, 0);
  alert.owner = GetUserId();
  alert.query = TextArgument(fcinfo, 1);
  alert.condition = TextArgument(fcinfo, 2);
  alert.for_duration = *PG_GETARG_INTERVAL_P(3);
  const Interval every = *PG_GETARG_INTERVAL_P(4);
  alert.notify_channel = NameStr(*PG_GETARG_NAME(5));
  alert.no_data = ParseNoData(TextArgument(fcinfo, 6));
  alert.version = 1;
  CheckName(alert.name);
  CheckLength("query", alert.query);
  CheckLength("condition", alert.condition);
  CheckForDuration(alert.for_duration);
  CheckEvery(every);
  CheckChannel(alert.notify_channel);
  TakeSession(&alert);
  if (LoadAlert(alert.name, RowLock::kNone) != nullptr) {
    ereport(ERROR,
            (errcode(ERRCODE_DUPLICATE_OBJECT), errmsg("alert \"%s\" already exists", alert.name),
             errhint("Change it with tsext.alter_alert().")));
  }
  CheckAlertQuery(alert);
  alert.job_id = AddAlertJob(alert, every);
  InsertAlert(alert);
  return alert.job_id;
}

enum AlterArgument : int {
  kAlterName,
  kAlterQuery,
  kAlterCondition,
  kAlterForDuration,
  kAlterEvery,
  kAlterChannel,
  kAlterNoData,
  kAlterEnabled
};

/// Overwrites what is given.
void TakeChanges(FunctionCallInfo fcinfo, Alert *alert) {
  if (!PG_ARGISNULL(kAlterQuery)) {
    alert->query = TextArgument(fcinfo, kAlterQuery);
    CheckLength("query", alert->query);
  }
  if (!PG_ARGISNULL(kAlterCondition)) {
    alert->condition = TextArgument(fcinfo, kAlterCondition);
    CheckLength("condition", alert->condition);
  }
  if (!PG_ARGISNULL(kAlterForDuration)) {
    alert->for_duration = *PG_GETARG_INTERVAL_P(kAlterForDuration);
    CheckForDuration(alert->for_duration);
  }
  if (!PG_ARGISNULL(kAlterChannel)) {
    alert->notify_channel = NameStr(*PG_GETARG_NAME(kAlterChannel));
    CheckChannel(alert->notify_channel);
  }
  if (!PG_ARGISNULL(kAlterNoData)) alert->no_data = ParseNoData(TextArgument(fcinfo, kAlterNoData));
  if (!PG_ARGISNULL(kAlterQuery)) TakeSession(alert);
  if (!PG_ARGISNULL(kAlterQuery) || !PG_ARGISNULL(kAlterCondition)) CheckAlertQuery(*alert);
}

void AlterAlert(FunctionCallInfo fcinfo) {
  const char *name = TextArgument(fcinfo, kAlterName);
  Alert *alert = FindAlert(name, RowLock::kNone);
  const bool sets_every = !PG_ARGISNULL(kAlterEvery);
  const bool sets_enabled = !PG_ARGISNULL(kAlterEnabled);
  const bool enabled = sets_enabled && PG_GETARG_BOOL(kAlterEnabled);
  Interval every{};
  if (sets_every) {
    every = *PG_GETARG_INTERVAL_P(kAlterEvery);
    CheckEvery(every);
  }
  // The job before the row: whoever changes a job may wait for it, and it may wait for the row.
  int job = alert->job_id;
  if (HasJob(*alert)) {
    AlterAlertJob(*alert, sets_every ? &every : nullptr, sets_enabled ? &enabled : nullptr);
  } else if (sets_enabled && enabled) {
    if (!sets_every) every.time = USECS_PER_MINUTE;
    job = AddAlertJob(*alert, every);
  } else if (sets_every) {
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("the job of alert \"%s\" was deleted", name),
                    errhint("Give it another with tsext.alter_alert(…, enabled => true).")));
  }
  alert = FindAlert(name, RowLock::kUpdate);
  TakeChanges(fcinfo, alert);
  alert->job_id = job;
  // Before the update: what fires is told on the channel that knows of it, and under its old query.
  if (!PG_ARGISNULL(kAlterQuery) || (sets_enabled && !enabled))
    ForgetInstances(*alert, GetCurrentTimestamp());
  UpdateAlert(*alert);
}

void DropAlert(const char *name) {
  if (Alert *alert = FindAlert(name, RowLock::kNone); HasJob(*alert)) DeleteAlertJob(*alert);
  ForgetInstances(*FindAlert(name, RowLock::kUpdate), GetCurrentTimestamp());
  DeleteAlert(name);
}

}  // namespace

}  // namespace tsext::pg

TSEXT_FUNCTION(tsext_create_alert) {
  using namespace tsext::pg;  // NOLINT(google-build-using-namespace)
  for (int i = 0; i < PG_NARGS(); i++) {
    if (PG_ARGISNULL(i)) {
      ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
                      errmsg("the arguments of tsext.create_alert() must not be NULL")));
    }
  }
  RefuseReadOnly("tsext.create_alert()");
  SPI_connect();
  const int job = CreateAlert(fcinfo);
  SPI_finish();
  PG_RETURN_INT32(job);
}

TSEXT_FUNCTION(tsext_alter_alert) {
  using namespace tsext::pg;  // NOLINT(google-build-using-namespace)
  if (PG_ARGISNULL(kAlterName)) {
    ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
                    errmsg("the name of an alert must not be NULL")));
  }
  RefuseReadOnly("tsext.alter_alert()");
  SPI_connect();
  AlterAlert(fcinfo);
  SPI_finish();
  PG_RETURN_VOID();
}

TSEXT_FUNCTION(tsext_drop_alert) {
  using namespace tsext::pg;  // NOLINT(google-build-using-namespace)
  RefuseReadOnly("tsext.drop_alert()");
  const char *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
  SPI_connect();
  if (PG_GETARG_BOOL(1) && LoadAlert(name, RowLock::kNone) == nullptr) {
    ereport(NOTICE, (errmsg("alert \"%s\" does not exist, skipping", name)));
  } else {
    DropAlert(name);
  }
  SPI_finish();
  PG_RETURN_VOID();
}
