// What listeners of an alert's channel get:
//
//   {"name": "cpu", "labels": {"host": "a"}, "state": "firing", "value": 95.5, "at":
//   "2024-01-15T…"}
//   {"name": "cpu", "state": "error", "sqlstate": "42P01", "message": "…", "at": "2024-01-15T…"}

#include <climits>
#include <cstring>

#include "pg/alert/alert.hpp"
#include "pg/base/boundary.hpp"

extern "C" {
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "mb/pg_wchar.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/timestamp.h"
}

namespace tsext::pg {

namespace {

constexpr int kMaxPayloadBytes = 7999;
// Tried one after the other until the payload fits: the longest text that is kept whole. 0 leaves
// the labels out.
constexpr int kLimits[] = {INT_MAX, 512, 128, 32, 0};

/// As a JSON string; longer than `limit` bytes it is cut and ends with "...".
void AppendText(StringInfo out, const char *text, int length, int limit, bool *cut) {
  char *copy = pnstrdup(text, length);
  if (length > limit) {
    copy[pg_mbcliplen(text, length, limit)] = '\0';
    copy = psprintf("%s...", copy);
    *cut = true;
  }
  escape_json(out, copy);
}

void AppendLabels(StringInfo out, Jsonb *labels, int limit, bool *cut) {
  appendStringInfoChar(out, '{');
  JsonbIterator *iterator = JsonbIteratorInit(&labels->root);
  JsonbValue item;
  bool is_first = true;
  if (limit == 0) {
    *cut = true;
    appendStringInfoChar(out, '}');
    return;
  }
  for (;;) {
    const JsonbIteratorToken token = JsonbIteratorNext(&iterator, &item, true);
    if (token == WJB_DONE) break;
    if (token != WJB_KEY && token != WJB_VALUE) continue;
    if (token == WJB_KEY) {
      if (!is_first) appendStringInfoString(out, ", ");
      is_first = false;
    }
    if (item.type == jbvString) {
      AppendText(out, item.val.string.val, item.val.string.len, limit, cut);
    } else {
      appendStringInfoString(out, "null");
    }
    if (token == WJB_KEY) appendStringInfoString(out, ": ");
  }
  appendStringInfoChar(out, '}');
}

void AppendEnd(StringInfo out, TimestampTz at, bool cut) {
  char buffer[MAXDATELEN + 1];
  const int utc = 0;
  JsonEncodeDateTime(buffer, TimestampTzGetDatum(at), TIMESTAMPTZOID, &utc);
  appendStringInfo(out, ", \"at\": \"%s\"%s}", buffer, cut ? ", \"cut\": true" : "");
}

/// A number, or the name of what JSON has no number for.
void AppendValue(StringInfo out, const char *value) {
  const bool is_number = value != nullptr && strpbrk(value, "Nn") == nullptr;
  if (value == nullptr) {
    appendStringInfoString(out, "null");
  } else {
    appendStringInfo(out, is_number ? "%s" : "\"%s\"", value);
  }
}

/// {"name": "…"
void Begin(StringInfo out, const Alert &alert) {
  resetStringInfo(out);
  appendStringInfoString(out, "{\"name\": ");
  escape_json(out, alert.name);
}

}  // namespace

void NotifyChange(const Alert &alert, Jsonb *labels, const char *state, const char *value,
                  TimestampTz at) {
  // A numeric may have 16,383 digits behind the point.
  constexpr size_t kMaxValueBytes = 400;
  if (value != nullptr && strlen(value) > kMaxValueBytes) value = nullptr;
  StringInfoData payload;
  initStringInfo(&payload);
  for (const int limit : kLimits) {
    bool cut = false;
    Begin(&payload, alert);
    appendStringInfoString(&payload, ", \"labels\": ");
    AppendLabels(&payload, labels, limit, &cut);
    appendStringInfo(&payload, ", \"state\": \"%s\", \"value\": ", state);
    AppendValue(&payload, value);
    AppendEnd(&payload, at, cut);
    if (payload.len <= kMaxPayloadBytes) break;
  }
  Async_Notify(alert.notify_channel, payload.data);
  pfree(payload.data);
}

void NotifyError(const Alert &alert, const char *sqlstate, const char *message, TimestampTz at) {
  StringInfoData payload;
  initStringInfo(&payload);
  for (const int limit : kLimits) {
    bool cut = false;
    Begin(&payload, alert);
    if (sqlstate == nullptr) {
      appendStringInfoString(&payload, ", \"state\": \"ok\"");
    } else {
      appendStringInfo(&payload,
                       ", \"state\": \"error\", \"sqlstate\": \"%s\", \"message\": ", sqlstate);
      AppendText(&payload, message, static_cast<int>(strlen(message)), limit, &cut);
    }
    AppendEnd(&payload, at, cut);
    if (payload.len <= kMaxPayloadBytes) break;
  }
  Async_Notify(alert.notify_channel, payload.data);
  pfree(payload.data);
}

}  // namespace tsext::pg
