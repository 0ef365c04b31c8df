// tsext.series(): one row for each value of the segment-by columns, with rows, first and last time,
// and per numeric column count, min, max, sum and last.
//
// A segment that holds one series is summed up by its footer, without reading a value; of the
// others, and of columns whose class has no sum (numeric), the values are decoded. Hot rows are
// read one by one. All of it with one snapshot.

#include <bit>
#include <cstring>

#include "tsext/sort_key.hpp"

#include "pg/base/boundary.hpp"
#include "pg/base/datum.hpp"
#include "pg/catalog/options.hpp"
#include "pg/catalog/segment.hpp"
#include "pg/function/readable.hpp"
#include "pg/table/hot_rows.hpp"
#include "pg/table/segment_reader.hpp"

extern "C" {
#include "access/table.h"
#include "access/tupdesc_details.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "lib/stringinfo.h"
#include "utils/fmgrprotos.h"
#include "utils/hsearch.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"
}

namespace tsext::pg {
namespace {

enum class NumberKind { kInteger, kFloat4, kFloat8, kNumeric };

/// A numeric column of the table.
struct NumberColumn {
  AttrNumber attribute;
  NumberKind kind;
  DatumClass type;
};

/// What is known of one column of one series. The members that count are those of the kind.
struct NumberState {
  int64_t count;
  int64_t last_time;
  int128 integer_sum;
  int64_t integer_min, integer_max, integer_last;
  double real_sum, real_min, real_max, real_last;
  Numeric numeric_sum, numeric_min, numeric_max, numeric_last;
};

struct Series {
  char *key;  // JSON text of the segment-by values
  Series *next_of_hash;
  int64_t rows;
  int64_t first_time, last_time;  // first > last: no row with a finite time
  NumberState *numbers;
};

struct SeriesEntry {
  uint64 hash;
  Series *first;
};

struct Collector {
  Relation relation;
  const TableOptions *options;
  TupleDesc columns;
  MemoryContext context;  // of the results
  NumberColumn *numbers;
  int number_count;
  FmgrInfo *key_output;  // of the segment-by columns
  Oid *key_types;
  HTAB *table;
  StringInfoData key;
};

// ---- Keys ----

bool IsNumberType(Oid type) {
  return type == INT2OID || type == INT4OID || type == INT8OID || type == FLOAT4OID ||
         type == FLOAT8OID || type == NUMERICOID;
}

/// NaN and the infinities are no JSON numbers: they are written as strings, as to_jsonb() does.
void AppendNumber(StringInfo out, const char *text) {
  const char *digits = text[0] == '-' ? text + 1 : text;
  if (*digits >= '0' && *digits <= '9')
    appendStringInfoString(out, text);
  else
    escape_json(out, text);
}

void AppendKeyValue(Collector *collector, int index, Datum value, bool is_null) {
  StringInfo out = &collector->key;
  const Form_pg_attribute attribute =
      TupleDescAttr(collector->columns, collector->options->segment_by[index] - 1);
  if (index > 0) appendStringInfoString(out, ", ");
  escape_json(out, NameStr(attribute->attname));
  appendStringInfoString(out, ": ");
  if (is_null) {
    appendStringInfoString(out, "null");
    return;
  }
  char *text = OutputFunctionCall(&collector->key_output[index], value);
  const Oid type = collector->key_types[index];
  if (type == BOOLOID)
    appendStringInfoString(out, text[0] == 't' ? "true" : "false");
  else if (IsNumberType(type))
    AppendNumber(out, text);
  else
    escape_json(out, text);
  pfree(text);
}

void StartKey(Collector *collector) {
  resetStringInfo(&collector->key);
  appendStringInfoChar(&collector->key, '{');
}

/// The series of the key that was put together, made when it is new.
Series *FinishKey(Collector *collector) {
  appendStringInfoChar(&collector->key, '}');
  const char *key = collector->key.data;
  uint64 hash =
      hash_bytes_extended(reinterpret_cast<const unsigned char *>(key), collector->key.len, 0);
  bool found;
  auto *entry =
      static_cast<SeriesEntry *>(hash_search(collector->table, &hash, HASH_ENTER, &found));
  if (!found) entry->first = nullptr;
  for (Series *series = entry->first; series != nullptr; series = series->next_of_hash)
    if (strcmp(series->key, key) == 0) return series;
  const MemoryContext caller = MemoryContextSwitchTo(collector->context);
  auto *series = static_cast<Series *>(palloc0(sizeof(Series)));
  series->key = pstrdup(key);
  series->first_time = kTimeMaximum;
  series->last_time = kTimeMinimum;
  series->numbers = static_cast<NumberState *>(
      palloc0(sizeof(NumberState) * static_cast<size_t>(Max(collector->number_count, 1))));
  series->next_of_hash = entry->first;
  entry->first = series;
  MemoryContextSwitchTo(caller);
  return series;
}

// ---- Sums ----

/// True when a value of this time is the last so far (of equal times the one met last).
bool IsLast(const NumberState *state, int64_t time) {
  return state->count == 0 || time >= state->last_time;
}

void AddInteger(NumberState *state, int64_t value, int64_t repeat, int64_t time) {
  state->integer_min = state->count == 0 ? value : Min(state->integer_min, value);
  state->integer_max = state->count == 0 ? value : Max(state->integer_max, value);
  if (IsLast(state, time)) {
    state->integer_last = value;
    state->last_time = time;
  }
  state->integer_sum += static_cast<int128>(value) * repeat;
  state->count += repeat;
}

void AddReal(NumberState *state, double value, int64_t repeat, int64_t time) {
  // NaN is the greatest, as for min() and max().
  if (state->count == 0 || OrderedDouble(value) < OrderedDouble(state->real_min))
    state->real_min = value;
  if (state->count == 0 || OrderedDouble(value) > OrderedDouble(state->real_max))
    state->real_max = value;
  if (IsLast(state, time)) {
    state->real_last = value;
    state->last_time = time;
  }
  state->real_sum += value * static_cast<double>(repeat);
  state->count += repeat;
}

Numeric CopyNumeric(Numeric value) {
  auto *copy = static_cast<Numeric>(palloc(VARSIZE_ANY(value)));
  memcpy(copy, value, VARSIZE_ANY(value));
  return copy;
}

int CompareNumeric(Numeric a, Numeric b) {
  return DatumGetInt32(DirectFunctionCall2(numeric_cmp, NumericGetDatum(a), NumericGetDatum(b)));
}

void Replace(Numeric *value, Numeric by) {
  if (*value != nullptr) pfree(*value);
  *value = CopyNumeric(by);
}

void AddNumeric(Collector *collector, NumberState *state, Numeric value, int64_t repeat,
                int64_t time) {
  Numeric part = value;
  if (repeat != 1) part = numeric_mul_opt_error(value, int64_to_numeric(repeat), nullptr);
  Numeric sum = state->count == 0 ? part : numeric_add_opt_error(state->numeric_sum, part, nullptr);
  const MemoryContext caller = MemoryContextSwitchTo(collector->context);
  Replace(&state->numeric_sum, sum);
  if (state->count == 0 || CompareNumeric(value, state->numeric_min) < 0)
    Replace(&state->numeric_min, value);
  if (state->count == 0 || CompareNumeric(value, state->numeric_max) > 0)
    Replace(&state->numeric_max, value);
  if (IsLast(state, time)) {
    Replace(&state->numeric_last, value);
    state->last_time = time;
  }
  MemoryContextSwitchTo(caller);
  state->count += repeat;
}

void AddDatum(Collector *collector, NumberState *state, const NumberColumn &column, Datum value,
              int64_t repeat, int64_t time) {
  switch (column.kind) {
    case NumberKind::kInteger:
      return AddInteger(state, DatumToInteger(value, column.type), repeat, time);
    case NumberKind::kFloat4:
      return AddReal(state, DatumGetFloat4(value), repeat, time);
    case NumberKind::kFloat8:
      return AddReal(state, DatumGetFloat8(value), repeat, time);
    case NumberKind::kNumeric:
      return AddNumeric(collector, state, DatumGetNumeric(value), repeat, time);
  }
}

void AddRows(Series *series, int64_t rows, int64_t first_time, int64_t last_time) {
  series->rows += rows;
  series->first_time = Min(series->first_time, first_time);
  series->last_time = Max(series->last_time, last_time);
}

// ---- Cold rows ----

/// Unlike ==, which takes -0 for 0 and no NaN for itself.
bool SameBits(double a, double b) {
  return std::bit_cast<uint64_t>(a) == std::bit_cast<uint64_t>(b);
}
bool SameBits(float a, float b) {
  return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b);
}

/// True when the column has one value, or NULL, in all rows of the segment, as its footer tells.
bool IsConstant(const SegmentHead &head, const ColumnFooter &footer) {
  if (footer.null_count == head.row_count()) return true;
  if (footer.null_count > 0 || !footer.min.valid || !footer.max.valid) return false;
  if (IsInteger(footer.type)) return footer.min.integer == footer.max.integer;
  if (IsFloat(footer.type)) return SameBits(footer.min.real, footer.max.real);
  return !footer.min.truncated && !footer.max.truncated && footer.min.bytes == footer.max.bytes;
}

bool HoldsOneSeries(const Collector *collector, const SegmentHead &head) {
  const TableOptions *options = collector->options;
  for (int i = 0; i < options->segment_by_count; ++i) {
    const int index = head.FindColumn(options->segment_by[i]);
    // A column added later has its default in all rows.
    if (index >= 0 && !IsConstant(head, head.columns()[static_cast<size_t>(index)])) return false;
  }
  return true;
}

Series *SeriesOfRow(Collector *collector, SegmentReader *reader, uint32_t row) {
  StartKey(collector);
  for (int i = 0; i < collector->options->segment_by_count; ++i) {
    bool is_null;
    Datum value = SegmentReaderValue(reader, collector->options->segment_by[i], row, &is_null);
    AppendKeyValue(collector, i, value, is_null);
  }
  return FinishKey(collector);
}

/// Adds what the footer says. False when the column's class has no sum: it must be decoded.
bool AddFooter(NumberState *state, const NumberColumn &column, const SegmentHead &head,
               const ColumnFooter &footer) {
  const int64_t count = static_cast<int64_t>(head.row_count()) - footer.null_count;
  if (count == 0) return true;
  if (column.kind == NumberKind::kNumeric || !footer.has_sum || !footer.min.valid ||
      !footer.max.valid || !footer.last.valid)
    return false;
  const bool is_last = IsLast(state, footer.last_time);
  if (is_last) state->last_time = footer.last_time;
  const bool is_first = state->count == 0;
  state->count += count;
  if (column.kind == NumberKind::kInteger) {
    if (is_last) state->integer_last = footer.last.integer;
    if (is_first || footer.min.integer < state->integer_min)
      state->integer_min = footer.min.integer;
    if (is_first || footer.max.integer > state->integer_max)
      state->integer_max = footer.max.integer;
    state->integer_sum += footer.integer_sum;
    return true;
  }
  if (is_last) state->real_last = footer.last.real;
  if (is_first || OrderedDouble(footer.min.real) < OrderedDouble(state->real_min))
    state->real_min = footer.min.real;
  if (is_first || OrderedDouble(footer.max.real) > OrderedDouble(state->real_max))
    state->real_max = footer.max.real;
  state->real_sum += footer.real_sum;
  return true;
}

/// Time of a row of a vector of the time column; 0 without one.
int64_t TimeAt(const Vector *times, uint32_t row) {
  return times == nullptr ? 0 : times->integers[row];
}

void AddVectorRow(Collector *collector, NumberState *state, const NumberColumn &column,
                  const Vector &vector, uint32_t row, int64_t time) {
  if (vector.IsNull(row)) return;
  switch (column.kind) {
    case NumberKind::kInteger:
      return AddInteger(state, vector.integers[row], 1, time);
    case NumberKind::kFloat4:
      return AddReal(state, vector.floats[row], 1, time);
    case NumberKind::kFloat8:
      return AddReal(state, vector.doubles[row], 1, time);
    case NumberKind::kNumeric:
      return AddDatum(collector, state, column, VectorDatum(vector, row, column.type), 1, time);
  }
}

/// Adds a column's values in rows [from, until) of vector `index`, all of one series.
void AddVector(Collector *collector, SegmentReader *reader, int number, uint32_t index,
               uint32_t from, uint32_t until, const Vector *times, Series *series) {
  const NumberColumn &column = collector->numbers[number];
  NumberState *state = &series->numbers[number];
  const Vector *vector = SegmentReaderVector(reader, column.attribute, index);
  if (vector != nullptr) {
    for (uint32_t row = from; row < until; ++row)
      AddVectorRow(collector, state, column, *vector, row, TimeAt(times, row));
    return;
  }
  bool is_null;
  Datum value = getmissingattr(collector->columns, column.attribute, &is_null);
  for (uint32_t row = from; row < until && !is_null; ++row)
    AddDatum(collector, state, column, value, 1, TimeAt(times, row));
}

const Vector *ReadTimes(Collector *collector, SegmentReader *reader, uint32_t index) {
  const AttrNumber attribute = collector->options->time_attribute;
  return attribute == InvalidAttrNumber ? nullptr : SegmentReaderVector(reader, attribute, index);
}

void AddOneSeries(Collector *collector, SegmentReader *reader, const SegmentRow *row) {
  const SegmentHead &head = SegmentReaderHead(reader);
  Series *series = SeriesOfRow(collector, reader, 0);
  AddRows(series, row->nrows, row->tmin, row->tmax);
  for (int i = 0; i < collector->number_count; ++i) {
    const NumberColumn &column = collector->numbers[i];
    const int index = head.FindColumn(column.attribute);
    if (index >= 0 &&
        AddFooter(&series->numbers[i], column, head, head.columns()[static_cast<size_t>(index)]))
      continue;
    for (uint32_t v = 0; v < head.vector_count(); ++v)
      AddVector(collector, reader, i, v, 0, head.VectorRows(v), ReadTimes(collector, reader, v),
                series);
  }
}

bool SameValue(const Vector &vector, uint32_t a, uint32_t b) {
  if (vector.IsNull(a) || vector.IsNull(b)) return vector.IsNull(a) && vector.IsNull(b);
  if (IsInteger(vector.type)) return vector.integers[a] == vector.integers[b];
  if (vector.type == PhysicalType::kFloat64) return SameBits(vector.doubles[a], vector.doubles[b]);
  if (vector.type == PhysicalType::kFloat32) return SameBits(vector.floats[a], vector.floats[b]);
  const ByteView left = vector.bytes[a];
  const ByteView right = vector.bytes[b];
  return left.size == right.size &&
         (left.size == 0 || memcmp(left.data, right.data, left.size) == 0);
}

/// The end of the run of rows with the key of row `from` in a vector of `rows` rows.
uint32_t EndOfRun(Collector *collector, SegmentReader *reader, uint32_t index, uint32_t from,
                  uint32_t rows) {
  uint32_t end = rows;
  for (int i = 0; i < collector->options->segment_by_count; ++i) {
    const Vector *key = SegmentReaderVector(reader, collector->options->segment_by[i], index);
    if (key == nullptr) continue;
    uint32_t at = from + 1;
    while (at < end && SameValue(*key, from, at)) ++at;
    end = at;
  }
  return end;
}

void AddManySeries(Collector *collector, SegmentReader *reader) {
  const SegmentHead &head = SegmentReaderHead(reader);
  for (uint32_t index = 0; index < head.vector_count(); ++index) {
    CHECK_FOR_INTERRUPTS();
    const uint32_t rows = head.VectorRows(index);
    for (uint32_t from = 0; from < rows;) {
      const uint32_t until = EndOfRun(collector, reader, index, from, rows);
      Series *series = SeriesOfRow(collector, reader, index * kVectorSize + from);
      const Vector *times = ReadTimes(collector, reader, index);
      series->rows += until - from;
      for (uint32_t row = from; row < until; ++row)
        AddRows(series, 0, TimeAt(times, row), TimeAt(times, row));
      for (int i = 0; i < collector->number_count; ++i)
        AddVector(collector, reader, i, index, from, until, times, series);
      from = until;
    }
  }
}

void AddColdRows(Collector *collector, Snapshot snapshot) {
  int count;
  const SegmentRow *rows = LoadSegments(collector->relation->rd_rel->reltoastrelid, kTimeMinimum,
                                        kTimeMaximum, snapshot, &count);
  if (count == 0) return;
  const MemoryContext scratch =
      AllocSetContextCreate(CurrentMemoryContext, "tsext series", ALLOCSET_DEFAULT_SIZES);
  SegmentReader *reader = SegmentReaderCreate(collector->relation, snapshot, CurrentMemoryContext);
  const MemoryContext caller = MemoryContextSwitchTo(scratch);
  for (int i = 0; i < count; ++i) {
    CHECK_FOR_INTERRUPTS();
    SegmentReaderOpen(reader, &rows[i]);
    if (HoldsOneSeries(collector, SegmentReaderHead(reader)))
      AddOneSeries(collector, reader, &rows[i]);
    else
      AddManySeries(collector, reader);
    MemoryContextReset(scratch);
  }
  MemoryContextSwitchTo(caller);
  SegmentReaderClose(reader);
  MemoryContextDelete(scratch);
}

// ---- Hot rows ----

void AddHotRow(Collector *collector, TupleTableSlot *slot) {
  slot_getallattrs(slot);
  StartKey(collector);
  for (int i = 0; i < collector->options->segment_by_count; ++i) {
    const int at = collector->options->segment_by[i] - 1;
    AppendKeyValue(collector, i, slot->tts_values[at], slot->tts_isnull[at]);
  }
  Series *series = FinishKey(collector);
  int64_t time;
  // A row without a finite time counts, but is neither first nor last.
  const bool has_time = RowTime(collector->options, slot, &time);
  if (!has_time) time = kTimeMinimum;
  AddRows(series, 1, has_time ? time : kTimeMaximum, time);
  for (int i = 0; i < collector->number_count; ++i) {
    const NumberColumn &column = collector->numbers[i];
    const int at = column.attribute - 1;
    if (!slot->tts_isnull[at])
      AddDatum(collector, &series->numbers[i], column, slot->tts_values[at], 1, time);
  }
}

void AddHotRows(Collector *collector, Snapshot snapshot) {
  const MemoryContext scratch =
      AllocSetContextCreate(CurrentMemoryContext, "tsext series", ALLOCSET_DEFAULT_SIZES);
  HotScan scan = HotScanBegin(collector->relation, snapshot);
  const MemoryContext caller = MemoryContextSwitchTo(scratch);
  int64_t rows = 0;
  while (TupleTableSlot *slot = HotScanNext(&scan)) {
    AddHotRow(collector, slot);
    if ((++rows & 1023) != 0) continue;
    CHECK_FOR_INTERRUPTS();
    MemoryContextReset(scratch);
  }
  MemoryContextSwitchTo(caller);
  HotScanEnd(&scan);
  MemoryContextDelete(scratch);
}

// ---- The result ----

char *Int128Text(int128 value) {
  char digits[48];
  int at = sizeof digits;
  digits[--at] = '\0';
  const bool negative = value < 0;
  auto rest =
      negative ? -static_cast<unsigned __int128>(value) : static_cast<unsigned __int128>(value);
  do {
    digits[--at] = static_cast<char>('0' + static_cast<int>(rest % 10));
    rest /= 10;
  } while (rest != 0);
  if (negative) digits[--at] = '-';
  return pstrdup(digits + at);
}

char *RealText(double value, NumberKind kind) {
  if (kind == NumberKind::kFloat4)
    return DatumGetCString(
        DirectFunctionCall1(float4out, Float4GetDatum(static_cast<float>(value))));
  return DatumGetCString(DirectFunctionCall1(float8out, Float8GetDatum(value)));
}

char *NumericText(Numeric value) {
  return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value)));
}

void AppendMember(StringInfo out, const char *name, const char *text) {
  appendStringInfo(out, ", \"%s\": ", name);
  AppendNumber(out, text);
}

void AppendState(StringInfo out, const NumberColumn &column, const NumberState *state) {
  appendStringInfo(out, "{\"count\": " INT64_FORMAT, state->count);
  if (state->count == 0) {
    appendStringInfoString(out, ", \"min\": null, \"max\": null, \"sum\": null, \"last\": null}");
    return;
  }
  switch (column.kind) {
    case NumberKind::kInteger:
      AppendMember(out, "min", Int128Text(state->integer_min));
      AppendMember(out, "max", Int128Text(state->integer_max));
      AppendMember(out, "sum", Int128Text(state->integer_sum));
      AppendMember(out, "last", Int128Text(state->integer_last));
      break;
    case NumberKind::kFloat4:
    case NumberKind::kFloat8:
      AppendMember(out, "min", RealText(state->real_min, column.kind));
      AppendMember(out, "max", RealText(state->real_max, column.kind));
      AppendMember(out, "sum", RealText(state->real_sum, NumberKind::kFloat8));
      AppendMember(out, "last", RealText(state->real_last, column.kind));
      break;
    case NumberKind::kNumeric:
      AppendMember(out, "min", NumericText(state->numeric_min));
      AppendMember(out, "max", NumericText(state->numeric_max));
      AppendMember(out, "sum", NumericText(state->numeric_sum));
      AppendMember(out, "last", NumericText(state->numeric_last));
      break;
  }
  appendStringInfoChar(out, '}');
}

Datum JsonbOf(const char *text) {
  return DirectFunctionCall1(jsonb_in, CStringGetDatum(text));
}

void PutSeries(Collector *collector, const Series *series, ReturnSetInfo *result) {
  StringInfoData text;
  initStringInfo(&text);
  appendStringInfoChar(&text, '{');
  for (int i = 0; i < collector->number_count; ++i) {
    const NumberColumn &column = collector->numbers[i];
    if (i > 0) appendStringInfoString(&text, ", ");
    escape_json(&text, NameStr(TupleDescAttr(collector->columns, column.attribute - 1)->attname));
    appendStringInfoString(&text, ": ");
    AppendState(&text, column, &series->numbers[i]);
  }
  appendStringInfoChar(&text, '}');
  const Oid time_type = collector->options->time_type;
  const bool has_time = OidIsValid(time_type) && series->first_time <= series->last_time;
  Datum values[5] = {JsonbOf(series->key), Int64GetDatum(series->rows), 0, 0, JsonbOf(text.data)};
  bool nulls[5] = {false, false, !has_time, !has_time, false};
  if (has_time) {
    values[2] = CStringGetTextDatum(TimeText(series->first_time, time_type));
    values[3] = CStringGetTextDatum(TimeText(series->last_time, time_type));
  }
  tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

Collector *MakeCollector(Relation relation) {
  auto *collector = static_cast<Collector *>(palloc0(sizeof(Collector)));
  collector->relation = relation;
  collector->options = GetTableOptions(relation);
  collector->columns = RelationGetDescr(relation);
  collector->context = CurrentMemoryContext;
  initStringInfo(&collector->key);
  const TableOptions *options = collector->options;
  const auto key_count = static_cast<size_t>(Max(options->segment_by_count, 1));
  collector->key_output = static_cast<FmgrInfo *>(palloc0(sizeof(FmgrInfo) * key_count));
  collector->key_types = static_cast<Oid *>(palloc0(sizeof(Oid) * key_count));
  for (int i = 0; i < options->segment_by_count; ++i) {
    const Oid type = TupleDescAttr(collector->columns, options->segment_by[i] - 1)->atttypid;
    Oid output;
    bool is_varlena;
    getTypeOutputInfo(type, &output, &is_varlena);
    fmgr_info(output, &collector->key_output[i]);
    collector->key_types[i] = getBaseType(type);
  }
  const int natts = collector->columns->natts;
  collector->numbers = static_cast<NumberColumn *>(
      palloc0(sizeof(NumberColumn) * static_cast<size_t>(Max(natts, 1))));
  for (int i = 0; i < natts; ++i) {
    Form_pg_attribute attribute = TupleDescAttr(collector->columns, i);
    bool skip = attribute->attisdropped || attribute->attnum == options->time_attribute;
    for (int j = 0; j < options->segment_by_count; ++j)
      skip = skip || attribute->attnum == options->segment_by[j];
    const Oid type = skip ? InvalidOid : getBaseType(attribute->atttypid);
    if (!IsNumberType(type)) continue;
    const NumberKind kind = type == FLOAT4OID    ? NumberKind::kFloat4
                            : type == FLOAT8OID  ? NumberKind::kFloat8
                            : type == NUMERICOID ? NumberKind::kNumeric
                                                 : NumberKind::kInteger;
    collector->numbers[collector->number_count++] = {attribute->attnum, kind, ClassOf(attribute)};
  }
  HASHCTL control = {};
  control.keysize = sizeof(uint64);
  control.entrysize = sizeof(SeriesEntry);
  control.hcxt = CurrentMemoryContext;
  collector->table =
      hash_create("tsext series", 1024, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
  return collector;
}

}  // namespace
}  // namespace tsext::pg

using namespace tsext::pg;  // NOLINT(google-build-using-namespace): the C function below

TSEXT_FUNCTION(tsext_series) {
  Relation relation = OpenReadable(PG_GETARG_OID(0));
  InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
  auto *result = reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo);
  Collector *collector = MakeCollector(relation);
  // One snapshot for both: rows may be on their way from hot to cold.
  Snapshot snapshot = GetActiveSnapshot();
  AddColdRows(collector, snapshot);
  AddHotRows(collector, snapshot);
  HASH_SEQ_STATUS status;
  hash_seq_init(&status, collector->table);
  while (auto *entry = static_cast<SeriesEntry *>(hash_seq_search(&status)))
    for (const Series *series = entry->first; series != nullptr; series = series->next_of_hash)
      PutSeries(collector, series, result);
  table_close(relation, AccessShareLock);
  return static_cast<Datum>(0);
}
