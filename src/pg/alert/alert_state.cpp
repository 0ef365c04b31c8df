// Instances of an alert. Per label set, with T, F: condition true, false; no data counts as T, F or
// as no news, as no_data says:
//
//   inactive --T--> pending --T for for_duration--> firing --F--> resolved --T--> pending
//                   pending --F--> inactive         resolved, a day later -----> inactive
//
// Without a for_duration pending is skipped. An instance that has been without data for a day, and
// neither fires nor waits to, is forgotten.

#include "pg/alert/alert_state.hpp"

#include <algorithm>

#include "pg/base/boundary.hpp"

extern "C" {
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
}

namespace tsext::pg {

namespace {

constexpr int64 kForgetAfter = USECS_PER_DAY;
constexpr const char *kKeepEventsFor = "30 days";

constexpr const char *kStateNames[] = {"inactive", "pending", "firing", "resolved"};

const char *StateName(AlertState state) {
  return kStateNames[static_cast<int>(state)];
}

AlertState ParseState(const char *name) {
  for (int i = 0; i < 4; i++) {
    if (strcmp(name, kStateNames[i]) == 0) return static_cast<AlertState>(i);
  }
  elog(ERROR, "unknown state of an alert: %s", name);
}

struct Instance {
  int id;
  Jsonb *labels;
  AlertState state;
  TimestampTz since;
  Datum value;  // numeric
  bool has_value;
  bool is_missing;
  TimestampTz missing_since;
};

struct Instances {
  Instance *items;  // in the order of CompareLabels
  int count;
  int last_id;
};

// ---- arrays, as parameters of statements ----

/// Values of one column of many rows.
struct ColumnValues {
  Oid type;
  Datum *values;
  bool *nulls;
  int count;
};

ColumnValues MakeColumn(Oid type, int capacity) {
  return {type, static_cast<Datum *>(palloc(sizeof(Datum) * Max(capacity, 1))),
          static_cast<bool *>(palloc(sizeof(bool) * Max(capacity, 1))), 0};
}

void Append(ColumnValues *column, Datum value, bool is_null = false) {
  column->values[column->count] = value;
  column->nulls[column->count++] = is_null;
}

Datum ToArray(const ColumnValues &column) {
  int16 length;
  bool by_value;
  char alignment;
  get_typlenbyvalalign(column.type, &length, &by_value, &alignment);
  int size = column.count, lower = 1;
  return PointerGetDatum(construct_md_array(column.values, column.nulls, 1, &size, &lower,
                                            column.type, length, by_value, alignment));
}

/// What an evaluation changes, to be written at once.
struct Changes {
  // Rows of tsext.alert_instance to insert or replace.
  ColumnValues id, labels, state, since, value, missing_since;
  ColumnValues forgotten;  // ids
  // Rows of tsext.alert_event.
  ColumnValues event_labels, event_state, event_previous, event_value;
};

Changes MakeChanges(int capacity) {
  return {MakeColumn(INT4OID, capacity),    MakeColumn(JSONBOID, capacity),
          MakeColumn(TEXTOID, capacity),    MakeColumn(TIMESTAMPTZOID, capacity),
          MakeColumn(NUMERICOID, capacity), MakeColumn(TIMESTAMPTZOID, capacity),
          MakeColumn(INT4OID, capacity),    MakeColumn(JSONBOID, capacity),
          MakeColumn(TEXTOID, capacity),    MakeColumn(TEXTOID, capacity),
          MakeColumn(NUMERICOID, capacity)};
}

/// A change that comes of missing data has no value.
void AddEvent(const Alert &alert, Changes *changes, const Instance &instance, AlertState previous,
              TimestampTz now) {
  const bool has_value = instance.has_value && !instance.is_missing;
  Append(&changes->event_labels, PointerGetDatum(instance.labels));
  Append(&changes->event_state, CStringGetTextDatum(StateName(instance.state)));
  Append(&changes->event_previous, CStringGetTextDatum(StateName(previous)));
  Append(&changes->event_value, instance.value, !has_value);
  const char *value =
      has_value ? DatumGetCString(DirectFunctionCall1(numeric_out, instance.value)) : nullptr;
  NotifyChange(alert, instance.labels, StateName(instance.state), value, now);
}

void WriteChanges(const Alert &alert, const Changes &changes, TimestampTz now) {
  const Datum name = CStringGetTextDatum(alert.name);
  if (changes.id.count > 0) {
    Oid types[] = {
        TEXTOID,         INT4ARRAYOID,       JSONBARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID,
        NUMERICARRAYOID, TIMESTAMPTZARRAYOID};
    Datum values[] = {name,
                      ToArray(changes.id),
                      ToArray(changes.labels),
                      ToArray(changes.state),
                      ToArray(changes.since),
                      ToArray(changes.value),
                      ToArray(changes.missing_since)};
    ExecuteOnCatalog(
        "INSERT INTO tsext.alert_instance (alert, id, labels, state, since, value, missing_since) "
        "SELECT $1, u.* FROM unnest($2, $3, $4, $5, $6, $7) AS u "
        "ON CONFLICT ON CONSTRAINT alert_instance_pkey DO UPDATE SET state = excluded.state, "
        "since = excluded.since, value = excluded.value, missing_since = excluded.missing_since",
        7, types, values, nullptr);
  }
  if (changes.forgotten.count > 0) {
    Oid types[] = {TEXTOID, INT4ARRAYOID};
    Datum values[] = {name, ToArray(changes.forgotten)};
    ExecuteOnCatalog("DELETE FROM tsext.alert_instance WHERE alert = $1 AND id = ANY ($2)", 2,
                     types, values, nullptr);
  }
  if (changes.event_state.count > 0) {
    Oid types[] = {TEXTOID,      TIMESTAMPTZOID, JSONBARRAYOID,
                   TEXTARRAYOID, TEXTARRAYOID,   NUMERICARRAYOID};
    Datum values[] = {name,
                      TimestampTzGetDatum(now),
                      ToArray(changes.event_labels),
                      ToArray(changes.event_state),
                      ToArray(changes.event_previous),
                      ToArray(changes.event_value)};
    ExecuteOnCatalog(
        "INSERT INTO tsext.alert_event (alert, at, labels, state, previous, value) "
        "SELECT $1, $2, u.* FROM unnest($3, $4, $5, $6) AS u",
        6, types, values, nullptr);
  }
}

// ---- reading ----

Datum CopyNumeric(Datum value) {
  return PointerGetDatum(PG_DETOAST_DATUM_COPY(value));
}

Instances LoadInstances(const Alert &alert) {
  Oid type = TEXTOID;
  Datum name = CStringGetTextDatum(alert.name);
  ExecuteOnCatalog(
      "SELECT id, labels, state, since, value, missing_since FROM tsext.alert_instance "
      "WHERE alert = $1",
      1, &type, &name, nullptr);
  Instances result{};
  result.count = static_cast<int>(SPI_processed);
  result.items = static_cast<Instance *>(palloc0(sizeof(Instance) * Max(result.count, 1)));
  SPITupleTable *tuples = SPI_tuptable;
  for (int i = 0; i < result.count; i++) {
    Instance *instance = &result.items[i];
    HeapTuple tuple = tuples->vals[i];
    bool is_null;
    instance->id = DatumGetInt32(SPI_getbinval(tuple, tuples->tupdesc, 1, &is_null));
    instance->labels = DatumGetJsonbPCopy(SPI_getbinval(tuple, tuples->tupdesc, 2, &is_null));
    instance->state = ParseState(SPI_getvalue(tuple, tuples->tupdesc, 3));
    instance->since = DatumGetTimestampTz(SPI_getbinval(tuple, tuples->tupdesc, 4, &is_null));
    const Datum value = SPI_getbinval(tuple, tuples->tupdesc, 5, &is_null);
    instance->has_value = !is_null;
    if (!is_null) instance->value = CopyNumeric(value);
    instance->missing_since =
        DatumGetTimestampTz(SPI_getbinval(tuple, tuples->tupdesc, 6, &is_null));
    instance->is_missing = !is_null;
    result.last_id = Max(result.last_id, instance->id);
  }
  SPI_freetuptable(tuples);
  std::sort(result.items, result.items + result.count, [](const Instance &a, const Instance &b) {
    return CompareLabels(a.labels, b.labels) < 0;
  });
  return result;
}

// ---- one instance ----

/// kNoData as what it counts for; it remains where it is no news.
Signal Resolve(Signal signal, NoData no_data) {
  if (signal != Signal::kNoData || no_data == NoData::kKeep) return signal;
  return no_data == NoData::kFire ? Signal::kTrue : Signal::kFalse;
}

bool HasLasted(const Alert &alert, TimestampTz since, TimestampTz now) {
  Interval length = alert.for_duration;
  const TimestampTz due = DatumGetTimestampTz(DirectFunctionCall2(
      timestamptz_pl_interval, TimestampTzGetDatum(since), IntervalPGetDatum(&length)));
  return due <= now;
}

AlertState NextState(const Alert &alert, const Instance &instance, Signal signal, TimestampTz now) {
  if (signal == Signal::kTrue) {
    switch (instance.state) {
      case AlertState::kFiring:
        return AlertState::kFiring;
      case AlertState::kPending:
        return HasLasted(alert, instance.since, now) ? AlertState::kFiring : AlertState::kPending;
      default:
        return HasLasted(alert, now, now) ? AlertState::kFiring : AlertState::kPending;
    }
  }
  if (signal == Signal::kFalse) {
    if (instance.state == AlertState::kPending) return AlertState::kInactive;
    if (instance.state == AlertState::kFiring) return AlertState::kResolved;
  }
  if (instance.state == AlertState::kResolved && now - instance.since >= kForgetAfter)
    return AlertState::kInactive;
  return instance.state;
}

bool EqualValues(const Instance &a, const Instance &b) {
  if (a.has_value != b.has_value) return false;
  return !a.has_value || DatumGetInt32(DirectFunctionCall2(numeric_cmp, a.value, b.value)) == 0;
}

void AddInstance(Changes *changes, const Instance &instance) {
  Append(&changes->id, Int32GetDatum(instance.id));
  Append(&changes->labels, PointerGetDatum(instance.labels));
  Append(&changes->state, CStringGetTextDatum(StateName(instance.state)));
  Append(&changes->since, TimestampTzGetDatum(instance.since));
  Append(&changes->value, instance.value, !instance.has_value);
  Append(&changes->missing_since, TimestampTzGetDatum(instance.missing_since),
         !instance.is_missing);
}

struct Evaluation {
  const Alert *alert;
  TimestampTz now;
  Changes changes;
};

enum class Known : uint8_t { kYes, kNo };

/// Moves an instance on. `row`: what the query returned for it; nullptr: nothing.
void Advance(Evaluation *evaluation, const Instance &before, Known known, const AlertRow *row,
             Signal signal) {
  const TimestampTz now = evaluation->now;
  Instance after = before;
  // A clock that was set back must not count time twice: the wait begins anew.
  if (after.state == AlertState::kPending && after.since > now) after.since = now;
  after.state =
      NextState(*evaluation->alert, after, Resolve(signal, evaluation->alert->no_data), now);
  if (after.state != before.state) after.since = now;
  if (row != nullptr && row->has_value) {
    after.value = row->value;
    after.has_value = true;
  }
  after.is_missing = signal == Signal::kNoData;
  if (after.is_missing && !before.is_missing) after.missing_since = now;

  const bool rests = after.state == AlertState::kInactive || after.state == AlertState::kResolved;
  if (known == Known::kNo && after.is_missing && rests) return;
  const TimestampTz gone_since = after.is_missing ? after.missing_since : before.since;
  if (rests && row == nullptr && now - gone_since >= kForgetAfter) {
    Append(&evaluation->changes.forgotten, Int32GetDatum(after.id));
    return;
  }
  if (known == Known::kYes && after.state == before.state && after.since == before.since &&
      after.is_missing == before.is_missing && EqualValues(after, before))
    return;
  AddInstance(&evaluation->changes, after);
  const bool ages = before.state == AlertState::kResolved && after.state == AlertState::kInactive;
  if (after.state != before.state && !ages)
    AddEvent(*evaluation->alert, &evaluation->changes, after, before.state, now);
}

bool HasNoLabels(const Jsonb *labels) {
  return JB_ROOT_COUNT(labels) == 0;
}

Instance NewInstance(int id, Jsonb *labels, TimestampTz now) {
  Instance instance{};
  instance.id = id;
  instance.labels = labels;
  instance.state = AlertState::kInactive;
  instance.since = now;
  return instance;
}

Jsonb *EmptyLabels() {
  JsonbParseState *state = nullptr;
  pushJsonbValue(&state, WJB_BEGIN_OBJECT, nullptr);
  return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, nullptr));
}

/// The status row: without an error when sqlstate is nullptr. Returns whether that is a change.
bool WriteStatus(const Alert &alert, const char *sqlstate, const char *message, TimestampTz now) {
  Oid types[] = {TEXTOID, TIMESTAMPTZOID, TEXTOID, TEXTOID};
  Datum values[] = {CStringGetTextDatum(alert.name), TimestampTzGetDatum(now),
                    sqlstate != nullptr ? CStringGetTextDatum(sqlstate) : Datum(0),
                    message != nullptr ? CStringGetTextDatum(message) : Datum(0)};
  const char *nulls = sqlstate != nullptr ? "    " : "  nn";
  ExecuteOnCatalog("SELECT FROM tsext.alert_status WHERE alert = $1 AND error_since IS NOT NULL", 1,
                   types, values, nullptr);
  const bool had_error = SPI_processed > 0;
  ExecuteOnCatalog(
      "INSERT INTO tsext.alert_status AS s (alert, evaluated_at, error_since, sqlstate, message) "
      "VALUES ($1, $2, CASE WHEN $3 IS NOT NULL THEN $2 END, $3, $4) "
      "ON CONFLICT ON CONSTRAINT alert_status_pkey DO UPDATE SET evaluated_at = $2, "
      "error_since = CASE WHEN $3 IS NOT NULL THEN coalesce(s.error_since, $2) END, "
      "sqlstate = $3, message = $4",
      4, types, values, nulls);
  const bool has_error = sqlstate != nullptr;
  if (has_error == had_error) return false;
  ExecuteOnCatalog(
      "INSERT INTO tsext.alert_event (alert, at, state, previous, sqlstate, message) VALUES ($1, "
      "$2, CASE WHEN $3 IS NULL THEN 'ok' ELSE 'error' END, CASE WHEN $3 IS NULL THEN 'error' ELSE "
      "'ok' END, $3, $4)",
      4, types, values, nulls);
  return true;
}

void DeleteOldEvents(const Alert &alert, TimestampTz now) {
  Oid types[] = {TEXTOID, TIMESTAMPTZOID, TEXTOID};
  Datum values[] = {CStringGetTextDatum(alert.name), TimestampTzGetDatum(now),
                    CStringGetTextDatum(kKeepEventsFor)};
  ExecuteOnCatalog("DELETE FROM tsext.alert_event WHERE alert = $1 AND at < $2 - $3::interval", 3,
                   types, values, nullptr);
}

}  // namespace

void ApplyRows(const Alert &alert, const AlertRows &rows, TimestampTz now) {
  Instances known = LoadInstances(alert);
  Evaluation evaluation{&alert, now, MakeChanges(known.count + rows.count + 1)};
  // Both are sorted by labels.
  int at = 0;
  for (int row = 0; row < rows.count || at < known.count;) {
    const int order = row == rows.count ? 1
                      : at == known.count
                          ? -1
                          : CompareLabels(rows.rows[row].labels, known.items[at].labels);
    if (order < 0) {
      const AlertRow &fresh = rows.rows[row++];
      Advance(&evaluation, NewInstance(++known.last_id, fresh.labels, now), Known::kNo, &fresh,
              fresh.signal);
    } else if (order == 0) {
      const AlertRow &found = rows.rows[row++];
      Advance(&evaluation, known.items[at++], Known::kYes, &found, found.signal);
    } else {
      const Instance &missing = known.items[at++];
      // The stand-in of a query that returned nothing at all: now it does.
      const bool is_over = rows.count > 0 && rows.has_labels && HasNoLabels(missing.labels);
      Advance(&evaluation, missing, Known::kYes, nullptr,
              is_over ? Signal::kFalse : Signal::kNoData);
    }
  }
  if (rows.count == 0 && known.count == 0)
    Advance(&evaluation, NewInstance(1, EmptyLabels(), now), Known::kNo, nullptr, Signal::kNoData);
  WriteChanges(alert, evaluation.changes, now);
  if (WriteStatus(alert, nullptr, nullptr, now)) NotifyError(alert, nullptr, nullptr, now);
  DeleteOldEvents(alert, now);
}

void ApplyError(const Alert &alert, const char *sqlstate, const char *message, TimestampTz now) {
  if (WriteStatus(alert, sqlstate, message, now)) NotifyError(alert, sqlstate, message, now);
}

void ForgetInstances(const Alert &alert, TimestampTz now) {
  const Instances known = LoadInstances(alert);
  Changes changes = MakeChanges(known.count);
  for (int i = 0; i < known.count; i++) {
    Instance instance = known.items[i];
    Append(&changes.forgotten, Int32GetDatum(instance.id));
    if (instance.state != AlertState::kFiring) continue;
    instance.state = AlertState::kResolved;
    AddEvent(alert, &changes, instance, AlertState::kFiring, now);
  }
  WriteChanges(alert, changes, now);
}

}  // namespace tsext::pg
