// tsext.write_lines() and tsext.parse_lines(): line protocol for SQL.

#include <cstring>
#include <string_view>

#include "tsext/line_protocol.hpp"

#include "pg/base/boundary.hpp"
#include "pg/base/settings.hpp"
#include "pg/ingest/router.hpp"

extern "C" {
#include "catalog/pg_type_d.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"
}

namespace tsext::pg {
namespace {

// What a session keeps for its next call.
constexpr size_t kSessionCacheBytes = size_t{32} << 20;

TimePrecision PrecisionOf(const char *name) {
  TimePrecision precision;
  const char *utf8 = pg_server_to_any(name, static_cast<int>(strlen(name)), PG_UTF8);
  if (!ParseTimePrecision(utf8, &precision))
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("unrecognized precision \"%s\"", name),
                    errhint("Precisions are ns, us, ms, s, m and h.")));
  return precision;
}

/// The argument's bytes; text as UTF-8.
std::string_view LinesOf(Datum argument, bool is_text) {
  const varlena *value = PG_DETOAST_DATUM_PACKED(argument);
  const char *bytes = VARDATA_ANY(value);
  const int size = static_cast<int>(VARSIZE_ANY_EXHDR(value));
  if (!is_text) return {bytes, static_cast<size_t>(size)};
  const char *utf8 = pg_server_to_any(bytes, size, PG_UTF8);
  return {utf8, utf8 == bytes ? static_cast<size_t>(size) : strlen(utf8)};
}

// ---------------------------------------------------------------------------------------------
// write_lines

struct SessionRouter {
  Router *router;
  char schema[NAMEDATALEN];
  bool is_busy;
};
SessionRouter session = {};

RouterOptions CurrentOptions() {
  RouterOptions options;
  options.keep_ns = keep_ns;
  options.auto_create = auto_create;
  options.auto_add_columns = auto_add_columns;
  options.max_columns = max_columns;
  options.max_tables = max_tables;
  options.max_series = max_series;
  options.cache_bytes = kSessionCacheBytes;
  return options;
}

bool SameOptions(const RouterOptions &a, const RouterOptions &b) {
  return a.keep_ns == b.keep_ns && a.auto_create == b.auto_create &&
         a.auto_add_columns == b.auto_add_columns && a.max_columns == b.max_columns &&
         a.max_tables == b.max_tables && a.max_series == b.max_series;
}

/// The session's router, for this schema and the settings of now.
Router *TakeSessionRouter(const char *schema) {
  static RouterOptions last_options;
  const RouterOptions options = CurrentOptions();
  if (session.router != nullptr && strcmp(session.schema, schema) != 0) {
    RouterDestroy(session.router);
    session.router = nullptr;
  }
  if (session.router == nullptr) {
    session.router = RouterCreate(TopMemoryContext, schema, options);
    strlcpy(session.schema, schema, sizeof session.schema);
  } else if (!SameOptions(options, last_options)) {
    RouterSetOptions(session.router, options);
  }
  last_options = options;
  return session.router;
}

struct BusyScope {
  BusyScope() { session.is_busy = true; }
  ~BusyScope() { session.is_busy = false; }
  BusyScope(const BusyScope &) = delete;
  BusyScope &operator=(const BusyScope &) = delete;
};

void Write(const char *schema, LineRequest *request) {
  // A trigger of a table that is written to may write lines itself.
  if (session.is_busy) {
    Router *router = RouterCreate(CurrentMemoryContext, schema, CurrentOptions());
    RouterWrite(router, request, 1, {});
    RouterDestroy(router);
    return;
  }
  Router *router = TakeSessionRouter(schema);
  const BusyScope scope;
  Guard([&] { RouterWrite(router, request, 1, {}); });
}

Datum WriteLines(FunctionCallInfo fcinfo, bool is_text) {
  InitMaterializedSRF(fcinfo, 0);
  const auto *result = reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo);
  if (PG_ARGISNULL(1))
    ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("precision must not be null")));
  if (PG_ARGISNULL(2))
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_SCHEMA),
                    errmsg("no schema has been selected to write lines into"),
                    errhint("Name one, or put an existing one into search_path.")));
  LineRequest request;
  request.precision = PrecisionOf(text_to_cstring(PG_GETARG_TEXT_PP(1)));
  if (!PG_ARGISNULL(0)) request.lines = LinesOf(PG_GETARG_DATUM(0), is_text);
  constexpr int64_t kEpochShiftUs =
      (int64_t{POSTGRES_EPOCH_JDATE} - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
  request.receive_time_ns = (GetCurrentTimestamp() + kEpochShiftUs) * 1000;
  Write(NameStr(*PG_GETARG_NAME(2)), &request);

  Datum values[3] = {Int64GetDatum(request.stored), Int64GetDatum(request.RejectedTotal()), 0};
  bool nulls[3] = {false, false, request.first_message == nullptr};
  if (!nulls[2])
    values[2] = CStringGetTextDatum(
        psprintf("line %lld: %s: %s", static_cast<long long>(request.first_line_number),
                 RejectReasonName(request.first_reason), request.first_message));
  tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
  return 0;
}

// ---------------------------------------------------------------------------------------------
// parse_lines

/// Without its escapes, in the server's encoding.
std::string_view Plain(std::string_view raw, size_t (*unescape)(std::string_view, char *)) {
  auto *plain = static_cast<char *>(MemoryContextAllocHuge(CurrentMemoryContext, raw.size() + 1));
  const size_t size = unescape(raw, plain);
  plain[size] = '\0';
  const char *text = pg_any_to_server(plain, static_cast<int>(size), PG_UTF8);
  return {text, text == plain ? size : strlen(text)};
}

JsonbValue StringValue(std::string_view text) {
  JsonbValue value;
  value.type = jbvString;
  value.val.string.val = const_cast<char *>(text.data());
  value.val.string.len = static_cast<int>(text.size());
  return value;
}

JsonbValue NumberValue(const char *digits) {
  JsonbValue value;
  value.type = jbvNumeric;
  value.val.numeric = DatumGetNumeric(DirectFunctionCall3(
      numeric_in, CStringGetDatum(digits), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
  return value;
}

/// The type's name and the value.
JsonbValue FieldValue(const LineField &field, const char **type) {
  switch (field.type) {
    case FieldType::kFloat:
      *type = "float";
      // The shortest digits that give the same number.
      return NumberValue(float8out_internal(field.float_value));
    case FieldType::kInt:
      *type = "int";
      return NumberValue(psprintf("%lld", static_cast<long long>(field.int_value)));
    case FieldType::kUint:
      *type = "uint";
      return NumberValue(psprintf("%llu", static_cast<unsigned long long>(field.uint_value)));
    case FieldType::kBool: {
      *type = "bool";
      JsonbValue value;
      value.type = jbvBool;
      value.val.boolean = field.bool_value;
      return value;
    }
    case FieldType::kString:
      break;
  }
  *type = "string";
  return StringValue(Plain(field.text, UnescapeString));
}

Datum TagsOf(const LinePoint &point) {
  JsonbParseState *state = nullptr;
  pushJsonbValue(&state, WJB_BEGIN_OBJECT, nullptr);
  for (const LineTag &tag : point.tags) {
    JsonbValue key = StringValue(Plain(tag.key, UnescapeName));
    JsonbValue value = StringValue(Plain(tag.value, UnescapeName));
    pushJsonbValue(&state, WJB_KEY, &key);
    pushJsonbValue(&state, WJB_VALUE, &value);
  }
  return JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, nullptr)));
}

/// Of equal keys jsonb keeps the last, and so does line protocol.
Datum FieldsOf(const LinePoint &point) {
  JsonbParseState *state = nullptr;
  pushJsonbValue(&state, WJB_BEGIN_OBJECT, nullptr);
  for (const LineField &field : point.fields) {
    const char *type;
    JsonbValue key = StringValue(Plain(field.key, UnescapeName));
    JsonbValue value = FieldValue(field, &type);
    JsonbValue type_value = StringValue(type);
    pushJsonbValue(&state, WJB_KEY, &key);
    pushJsonbValue(&state, WJB_BEGIN_ARRAY, nullptr);
    pushJsonbValue(&state, WJB_ELEM, &type_value);
    pushJsonbValue(&state, WJB_ELEM, &value);
    pushJsonbValue(&state, WJB_END_ARRAY, nullptr);
  }
  return JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, nullptr)));
}

void PutPoint(const ReturnSetInfo *result, int64_t line_number, const LinePoint &point) {
  Datum values[6] = {Int32GetDatum(static_cast<int32>(line_number))};
  bool nulls[6] = {};
  if (point.error != LineError::kNone) {
    values[5] = CStringGetTextDatum(psprintf("%s: %s at byte %u", LineErrorName(point.error),
                                             point.message, point.error_offset + 1));
    nulls[1] = nulls[2] = nulls[3] = nulls[4] = true;
  } else {
    const std::string_view measurement = Plain(point.measurement, UnescapeMeasurement);
    values[1] = PointerGetDatum(
        cstring_to_text_with_len(measurement.data(), static_cast<int>(measurement.size())));
    values[2] = TagsOf(point);
    values[3] = FieldsOf(point);
    nulls[4] = !point.has_time;
    if (point.has_time) values[4] = NumericGetDatum(int64_to_numeric(point.time_ns));
    nulls[5] = true;
  }
  tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

Datum ParseLines(FunctionCallInfo fcinfo, bool is_text) {
  InitMaterializedSRF(fcinfo, 0);
  const auto *result = reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo);
  const TimePrecision precision = PrecisionOf(text_to_cstring(PG_GETARG_TEXT_PP(1)));
  const std::string_view text = LinesOf(PG_GETARG_DATUM(0), is_text);
  auto *memory = New<ContextResource>(CurrentMemoryContext, CurrentMemoryContext);
  auto *reader = New<LineReader>(CurrentMemoryContext, memory);
  const MemoryContext row_context =
      AllocSetContextCreate(CurrentMemoryContext, "tsext parsed line", ALLOCSET_DEFAULT_SIZES);
  const MemoryContext caller = MemoryContextSwitchTo(row_context);
  reader->Start(text, precision);
  LinePoint point;
  int64_t line_number = 1;
  size_t counted = 0;  // bytes whose line ends are in line_number
  while (reader->Next(&point)) {
    CHECK_FOR_INTERRUPTS();
    const auto at = static_cast<size_t>(point.line.data() - text.data());
    line_number += LineNumberAt(text.substr(counted), at - counted) - 1;
    counted = at;
    PutPoint(result, line_number, point);
    MemoryContextReset(row_context);
  }
  MemoryContextSwitchTo(caller);
  return 0;
}

}  // namespace
}  // namespace tsext::pg

TSEXT_FUNCTION(tsext_write_lines) {
  return tsext::pg::WriteLines(fcinfo, true);
}

TSEXT_FUNCTION(tsext_write_lines_bytes) {
  return tsext::pg::WriteLines(fcinfo, false);
}

TSEXT_FUNCTION(tsext_parse_lines) {
  return tsext::pg::ParseLines(fcinfo, true);
}

TSEXT_FUNCTION(tsext_parse_lines_bytes) {
  return tsext::pg::ParseLines(fcinfo, false);
}
