// tsext.evaluate_alert(): what the job of an alert runs. The query first, then, with the row of the
// alert locked, what it changes. Both are one transaction: a state is never without its
// notification, nor the other way round.

#include "pg/alert/alert.hpp"
#include "pg/alert/alert_query.hpp"
#include "pg/alert/alert_state.hpp"
#include "pg/base/boundary.hpp"
#include "pg/base/read_only.hpp"
#include "pg/base/stop_point.hpp"
#include "pg/base/transaction.hpp"
#include "pg/catalog/segment.hpp"

extern "C" {
#include "access/xact.h"
#include "executor/spi.h"
#include "nodes/parsenodes.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "tcop/utility.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"
}

namespace tsext::pg {

namespace {

/// config ->> 'alert'
const char *NameInConfig(FunctionCallInfo fcinfo) {
  Jsonb *config = PG_ARGISNULL(1) ? nullptr : PG_GETARG_JSONB_P(1);
  JsonbValue value;
  if (config != nullptr && JB_ROOT_IS_OBJECT(config) &&
      getKeyJsonValueFromContainer(&config->root, "alert", 5, &value) != nullptr &&
      value.type == jbvString)
    return pnstrdup(value.val.string.val, value.val.string.len);
  ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                  errmsg("the config of a job of tsext.evaluate_alert names no alert"),
                  errhint("Use {\"alert\": \"name\"}; tsext.create_alert() makes such a job.")));
  pg_unreachable();
}

/// Evaluations of one alert wait for each other; nothing else waits for them. Job ids are unique
/// among alerts, and nobody chooses them. Returns the alert as it is when the others are done.
const Alert *LockEvaluation(const char *name) {
  const Alert *alert = FindAlert(name, RowLock::kNone);
  for (;;) {
    LockDatabaseObject(CatalogRelation("alert"), static_cast<Oid>(alert->job_id), 0, ExclusiveLock);
    const Alert *current = FindAlert(name, RowLock::kNone);
    if (current->job_id == alert->job_id) return current;
    alert = current;
  }
}

/// Returns the error of the query, which has been noted.
ErrorData *Evaluate(const char *name) {
  const Alert *alert = LockEvaluation(name);
  AlertRows rows;
  ErrorData *error = RunAlertQuery(*alert, &rows);
  StopPoint("alert_evaluated");
  const Alert *current = LoadAlert(name, RowLock::kUpdate);
  // Dropped, changed or made anew meanwhile: the result says nothing of what there is now.
  if (current == nullptr || current->version != alert->version || current->job_id != alert->job_id)
    return nullptr;
  // Taken once nobody else can write: times of one alert go as its changes do.
  const TimestampTz now = GetCurrentTimestamp();
  if (error == nullptr) {
    ApplyRows(*alert, rows, now);
  } else {
    ApplyError(*alert, unpack_sql_state(error->sqlerrcode), error->message, now);
  }
  StopPoint("alert_applied");
  return error;
}

}  // namespace

}  // namespace tsext::pg

/// Outside of a transaction block it commits: an error of the query is the alert's before it is
/// raised for the job's run, and who records the run no longer holds the alert. Inside of one an
/// error is only raised.
TSEXT_FUNCTION(tsext_evaluate_alert) {
  using namespace tsext::pg;  // NOLINT(google-build-using-namespace)
  RefuseReadOnly("tsext.evaluate_alert()");
  const bool is_atomic = IsAtomicCall(fcinfo);
  SPI_connect_ext(is_atomic ? 0 : SPI_OPT_NONATOMIC);
  ErrorData *error = Evaluate(NameInConfig(fcinfo));
  if (!is_atomic) SPI_commit();
  if (error != nullptr) ReThrowError(error);
  SPI_finish();
  PG_RETURN_VOID();
}
