// Points into rows. The usual point costs no search by name: its series is found by its bytes, and
// its fields are compared with those of the series' last point.

#include <algorithm>
#include <cstring>

#include "pg/base/boundary.hpp"
#include "pg/ingest/router_state.hpp"

extern "C" {
#include "catalog/pg_type_d.h"
#include "mb/pg_wchar.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"
}

namespace tsext::pg {
namespace {

Reject MakeReject(RejectReason reason, const char *message) {
  Reject reject;
  reject.reason = reason;
  reject.message = message;
  return reject;
}

bool IsAscii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c & 0x80) == 0; });
}

/// UTF-8 in the server's encoding. False: it has characters that the encoding lacks.
bool ToServer(Router *router, std::string_view *text) {
  if (likely(!OidIsValid(router->conversion)) || IsAscii(*text)) return true;
  const size_t capacity = text->size() * MAX_CONVERSION_GROWTH + 1;
  auto *to = static_cast<char *>(BatchAllocate(router, capacity));
  auto *from = reinterpret_cast<unsigned char *>(const_cast<char *>(text->data()));
  const int done = pg_do_encoding_conversion_buf(
      router->conversion, PG_UTF8, GetDatabaseEncoding(), from, static_cast<int>(text->size()),
      reinterpret_cast<unsigned char *>(to), static_cast<int>(capacity), true);
  if (done < static_cast<int>(text->size())) return false;
  *text = {to, strlen(to)};
  return true;
}

/// A name as the server has it, in batch memory.
bool ServerName(Router *router, std::string_view raw, size_t (*unescape)(std::string_view, char *),
                std::string_view *name, Reject *reject) {
  *name = raw;
  if (memchr(raw.data(), '\\', raw.size()) != nullptr) {
    auto *plain = static_cast<char *>(BatchAllocate(router, raw.size()));
    *name = {plain, unescape(raw, plain)};
  }
  if (ToServer(router, name)) return true;
  *reject =
      MakeReject(RejectReason::kEncoding,
                 psprintf("a name or tag has characters that %s lacks", GetDatabaseEncodingName()));
  return false;
}

Datum TextDatum(char *to, std::string_view text) {
  SET_VARSIZE(to, text.size() + VARHDRSZ);
  memcpy(VARDATA(to), text.data(), text.size());
  return PointerGetDatum(to);
}

// ---------------------------------------------------------------------------------------------
// Series

/// A tag with its column.
struct PlacedTag {
  const LineTag *tag;
  std::string_view value;  // in the server's encoding
  int column;
};

TagColumns *FindTagColumns(Router *router, LineTable *table, const PlacedTag *tags, int count) {
  const size_t size = sizeof(int16_t) * static_cast<size_t>(count);
  auto *columns = static_cast<int16_t *>(BatchAllocate(router, size));
  for (int i = 0; i < count; i++) columns[i] = static_cast<int16_t>(tags[i].column);
  const std::string_view key(reinterpret_cast<const char *>(columns), size);
  auto *known = static_cast<TagColumns *>(ByteMapFind(table->tag_sets, key));
  if (known != nullptr) return known;
  auto *set = static_cast<TagColumns *>(MemoryContextAlloc(router->known, sizeof(TagColumns)));
  set->number = ++router->last_number;
  set->count = count;
  set->columns = static_cast<int16_t *>(MemoryContextAlloc(router->known, size + 1));
  std::copy_n(columns, count, set->columns);
  ByteMapAdd(&table->tag_sets, {reinterpret_cast<const char *>(set->columns), size}, set);
  return set;
}

SeriesEntry *AddEntry(Router *router, std::string_view raw, LineSeries *series) {
  auto *entry =
      static_cast<SeriesEntry *>(MemoryContextAllocZero(router->known, sizeof(SeriesEntry)));
  entry->key = CopyText(router->known, raw);
  entry->series = series;
  ByteMapAdd(&router->series, entry->key, entry);
  return entry;
}

/// The series' bytes with its tags in the order of their columns: one for all orders they may be
/// sent in.
std::string_view OneSpelling(Router *router, const LinePoint &point, const PlacedTag *tags,
                             int count) {
  auto *bytes = static_cast<char *>(BatchAllocate(router, point.series.size()));
  char *at = bytes;
  const auto put = [&at](std::string_view text) {
    memcpy(at, text.data(), text.size());
    at += text.size();
  };
  put(point.measurement);
  for (int i = 0; i < count; i++) {
    put(",");
    put(tags[i].tag->key);
    put("=");
    put(tags[i].tag->value);
  }
  return {bytes, static_cast<size_t>(at - bytes)};
}

/// Looks the series' table and columns up. nullptr: its points are rejected.
LineSeries *ResolveSeries(Router *router, const LinePoint &point, Reject *reject) {
  std::string_view name;
  if (!ServerName(router, point.measurement, UnescapeMeasurement, &name, reject)) return nullptr;
  LineTable *table = FindTable(router, name, reject);
  if (table == nullptr) return nullptr;
  if (table->reject) {
    *reject = table->reject;
    return nullptr;
  }
  const int count = static_cast<int>(point.tags.size());
  auto *tags = static_cast<PlacedTag *>(
      BatchAllocate(router, sizeof(PlacedTag) * static_cast<size_t>(count)));
  for (int i = 0; i < count; i++) {
    const LineTag &tag = point.tags[static_cast<size_t>(i)];
    if (!ServerName(router, tag.key, UnescapeName, &name, reject) ||
        !ServerName(router, tag.value, UnescapeName, &tags[i].value, reject))
      return nullptr;
    tags[i].tag = &tag;
    tags[i].column = FindColumn(router, table, name, true, TEXTOID, reject);
    if (tags[i].column < 0) return nullptr;
  }
  std::sort(tags, tags + count,
            [](const PlacedTag &a, const PlacedTag &b) { return a.column < b.column; });

  const std::string_view spelling = OneSpelling(router, point, tags, count);
  const bool is_usual = spelling == point.series;
  auto *other =
      is_usual ? nullptr : static_cast<SeriesEntry *>(ByteMapFind(router->series, spelling));
  LineSeries *series;
  if (other != nullptr) {
    series = other->series;
  } else {
    series = static_cast<LineSeries *>(MemoryContextAllocZero(router->known, sizeof(LineSeries)));
    series->table = table;
    series->tags = FindTagColumns(router, table, tags, count);
    size_t size = sizeof(Datum) * static_cast<size_t>(count);
    for (int i = 0; i < count; i++) size += MAXALIGN(VARHDRSZ + tags[i].value.size());
    auto *memory =
        static_cast<char *>(MemoryContextAllocExtended(router->known, size + 1, MCXT_ALLOC_HUGE));
    series->values = reinterpret_cast<Datum *>(memory);
    memory += sizeof(Datum) * static_cast<size_t>(count);
    for (int i = 0; i < count; i++) {
      series->values[i] = TextDatum(memory, tags[i].value);
      memory += MAXALIGN(VARHDRSZ + tags[i].value.size());
    }
    router->series_count++;
    if (!is_usual) AddEntry(router, spelling, series);
  }
  SeriesEntry *entry = AddEntry(router, point.series, series);
  router->last->successor = entry;
  router->last = entry;
  return series;
}

// ---------------------------------------------------------------------------------------------
// Layouts

bool LayoutFits(const LineLayout *layout, std::span<const LineField> fields) {
  if (static_cast<size_t>(layout->field_count) != fields.size()) return false;
  const LayoutField *expected = layout->fields;
  for (const LineField &field : fields) {
    if (expected->type != field.type || expected->key.size() != field.key.size() ||
        memcmp(expected->key.data(), field.key.data(), field.key.size()) != 0)
      return false;
    expected++;
  }
  return true;
}

const char *TypeName(FieldType type) {
  static constexpr const char *kNames[] = {"float", "int", "uint", "bool", "string"};
  return kNames[static_cast<int>(type)];
}

Oid TypeOf(FieldType type) {
  static constexpr Oid kTypes[] = {FLOAT8OID, INT8OID, NUMERICOID, BOOLOID, TEXTOID};
  return kTypes[static_cast<int>(type)];
}

bool IsTextType(Oid type) {
  return type == TEXTOID || type == VARCHAROID || type == BPCHAROID || type == NAMEOID;
}

/// Whether a value may go to a column. What was made here takes its own type only, and float8 also
/// integers; a user's column takes whatever it holds without loss.
bool Fits(const LineColumn &column, FieldType type, Conversion *conversion) {
  const bool is_users = !column.is_field;
  switch (type) {
    case FieldType::kFloat:
      *conversion = Conversion::kFloat;
      return column.type == FLOAT8OID ||
             (is_users && (column.type == FLOAT4OID || column.type == NUMERICOID));
    case FieldType::kInt:
      *conversion = Conversion::kInt;
      if (column.type == FLOAT8OID || (is_users && column.type == FLOAT4OID))
        *conversion = Conversion::kIntToFloat;
      if (is_users && column.type == NUMERICOID) *conversion = Conversion::kIntToNumeric;
      return *conversion != Conversion::kInt || column.type == INT8OID ||
             (is_users && (column.type == INT4OID || column.type == INT2OID));
    case FieldType::kUint:
      *conversion = Conversion::kUintToNumeric;
      return column.type == NUMERICOID || (is_users && column.type == INT8OID);
    case FieldType::kBool:
      *conversion = Conversion::kBool;
      return column.type == BOOLOID;
    case FieldType::kString:
      *conversion = Conversion::kString;
      return IsTextType(column.type);
  }
  return false;
}

/// Finds the column of each field; sets the layout's `reject` when one has none.
void PlaceFields(Router *router, LineTable *table, LineLayout *layout) {
  for (int i = 0; i < layout->field_count; i++) {
    LayoutField &field = layout->fields[i];
    if (field.is_dropped) continue;
    std::string_view name;
    if (!ServerName(router, field.key, UnescapeName, &name, &layout->reject)) return;
    const int index = FindColumn(router, table, name, false, TypeOf(field.type), &layout->reject);
    if (index < 0) return;
    const LineColumn &column = table->columns[index];
    if (!Fits(column, field.type, &field.conversion)) {
      layout->reject =
          MakeReject(RejectReason::kTypeConflict,
                     psprintf("field \"%s\" is of type %s, its column of type %s",
                              column.name.data(), TypeName(field.type),
                              OidIsValid(column.type) ? format_type_be(column.type) : "another"));
      return;
    }
    if (field.conversion == Conversion::kIntToFloat) layout->widened++;
    layout->columns[layout->value_count] = static_cast<int16_t>(index);
    layout->conversions[layout->value_count++] = field.conversion;
  }
}

/// Of equal keys the last one counts.
void DropRepeatedFields(Router *router, LineLayout *layout) {
  ByteMap seen;
  seen.context = router->batch;
  seen.seed = router->seed;
  for (int i = layout->field_count - 1; i >= 0; i--) {
    LayoutField &field = layout->fields[i];
    field.is_dropped = ByteMapFind(seen, field.key) != nullptr;
    if (!field.is_dropped) ByteMapAdd(&seen, field.key, &field);
  }
}

LineLayout *NewLayout(Router *router, size_t value_count) {
  auto *layout =
      static_cast<LineLayout *>(MemoryContextAllocZero(router->known, sizeof(LineLayout)));
  layout->number = ++router->last_number;
  layout->columns = static_cast<int16_t *>(
      MemoryContextAllocHuge(router->known, sizeof(int16_t) * value_count + 1));
  layout->conversions = static_cast<Conversion *>(
      MemoryContextAllocHuge(router->known, sizeof(Conversion) * value_count + 1));
  return layout;
}

LineLayout *FindLayout(Router *router, LineTable *table, std::span<const LineField> fields) {
  size_t size = 0;
  for (const LineField &field : fields) size += field.key.size() + 2;
  auto *bytes = static_cast<char *>(BatchAllocate(router, size));
  char *at = bytes;
  for (const LineField &field : fields) {
    memcpy(at, field.key.data(), field.key.size());
    at += field.key.size();
    *at++ = ',';
    *at++ = static_cast<char>('0' + static_cast<int>(field.type));
  }
  const std::string_view key(bytes, size);
  auto *known = static_cast<LineLayout *>(ByteMapFind(table->layouts, key));
  if (known != nullptr) return known;

  LineLayout *layout = NewLayout(router, fields.size());
  layout->field_count = static_cast<int>(fields.size());
  layout->fields = static_cast<LayoutField *>(
      MemoryContextAllocHuge(router->known, sizeof(LayoutField) * fields.size()));
  const std::string_view own_key = CopyText(router->known, key);
  const char *from = own_key.data();
  for (size_t i = 0; i < fields.size(); i++) {
    layout->fields[i] = {{from, fields[i].key.size()}, fields[i].type, false, Conversion::kFloat};
    from += fields[i].key.size() + 2;
  }
  DropRepeatedFields(router, layout);
  PlaceFields(router, table, layout);
  if (layout->reject)
    layout->reject.message = MemoryContextStrdup(router->known, layout->reject.message);
  ByteMapAdd(&table->layouts, own_key, layout);
  return layout;
}

// ---------------------------------------------------------------------------------------------
// Rows

Datum NumericOf(uint64_t value) {
  if (value <= static_cast<uint64_t>(PG_INT64_MAX))
    return NumericGetDatum(int64_to_numeric(static_cast<int64>(value)));
  char digits[32];
  digits[pg_ulltoa_n(value, digits)] = '\0';
  return DirectFunctionCall3(numeric_in, CStringGetDatum(digits), ObjectIdGetDatum(InvalidOid),
                             Int32GetDatum(-1));
}

/// False: the server's encoding lacks a character.
bool StringDatum(Router *router, const LineField &field, Datum *value) {
  std::string_view text = field.text;
  if (field.has_escapes) {
    auto *plain = static_cast<char *>(BatchAllocate(router, text.size()));
    text = {plain, UnescapeString(text, plain)};
  }
  if (!ToServer(router, &text)) return false;
  *value = TextDatum(static_cast<char *>(BatchAllocate(router, text.size() + VARHDRSZ)), text);
  return true;
}

bool ConvertFields(Router *router, const LineLayout *layout, std::span<const LineField> fields,
                   Datum *values) {
  const LayoutField *placed = layout->fields;
  for (const LineField &field : fields) {
    const LayoutField &place = *placed++;
    if (unlikely(place.is_dropped)) continue;
    switch (place.conversion) {
      case Conversion::kFloat:
        *values = Float8GetDatum(field.float_value);
        break;
      case Conversion::kInt:
        *values = Int64GetDatum(field.int_value);
        break;
      case Conversion::kIntToFloat:
        *values = Float8GetDatum(static_cast<double>(field.int_value));
        break;
      case Conversion::kIntToNumeric:
        *values = NumericGetDatum(int64_to_numeric(field.int_value));
        break;
      case Conversion::kUintToNumeric:
        *values = NumericOf(field.uint_value);
        break;
      case Conversion::kBool:
        *values = BoolGetDatum(field.bool_value);
        break;
      case Conversion::kString:
        if (!StringDatum(router, field, values)) return false;
    }
    values++;
  }
  return true;
}

void Touch(Router *router, LineTable *table) {
  table->batch = router->batch_number;
  table->rows = nullptr;
  table->row_count = table->row_capacity = 0;
  table->needs_merge = false;
  table->units = nullptr;
  table->unit_count = 0;
  if (router->touched_count == router->touched_capacity) {
    const int capacity = std::max(16, router->touched_capacity * 2);
    auto *grown = static_cast<LineTable **>(
        MemoryContextAlloc(router->batch, sizeof(void *) * static_cast<size_t>(capacity)));
    std::copy_n(router->touched, router->touched_count, grown);
    router->touched = grown;
    router->touched_capacity = capacity;
  }
  router->touched[router->touched_count++] = table;
}

LineRow *AddRow(Router *router, LineTable *table) {
  if (unlikely(table->row_count == table->row_capacity)) {
    const uint32_t capacity = std::max<uint32_t>(4, table->row_capacity * 2);
    auto *grown = static_cast<LineRow *>(
        MemoryContextAllocHuge(router->batch, size_t{capacity} * sizeof(LineRow)));
    std::copy_n(table->rows, table->row_count, grown);
    if (table->rows != nullptr) pfree(table->rows);
    table->rows = grown;
    table->row_capacity = capacity;
  }
  return &table->rows[table->row_count++];
}

// ---------------------------------------------------------------------------------------------
// Merging

/// The layout of values from several rows.
LineLayout *FindUnion(Router *router, LineTable *table, const Conversion *conversions,
                      const bool *given) {
  const auto column_count = static_cast<size_t>(table->column_count);
  auto *bytes = static_cast<char *>(BatchAllocate(router, column_count * 3));
  size_t size = 0;
  int count = 0;
  for (size_t i = 0; i < column_count; i++) {
    if (!given[i]) continue;
    bytes[size++] = static_cast<char>(i >> 8);
    bytes[size++] = static_cast<char>(i);
    bytes[size++] = static_cast<char>(conversions[i]);
    count++;
  }
  const std::string_view key(bytes, size);
  auto *known = static_cast<LineLayout *>(ByteMapFind(table->unions, key));
  if (known != nullptr) return known;
  LineLayout *layout = NewLayout(router, static_cast<size_t>(count));
  for (size_t i = 0; i < column_count; i++) {
    if (!given[i]) continue;
    layout->columns[layout->value_count] = static_cast<int16_t>(i);
    layout->conversions[layout->value_count++] = conversions[i];
  }
  ByteMapAdd(&table->unions, CopyText(router->known, key), layout);
  return layout;
}

/// Makes one row of rows with the same series and time, in the order sent.
uint32_t MergeGroup(Router *router, LineTable *table, const uint32_t *members, uint32_t count) {
  const auto column_count = static_cast<size_t>(table->column_count);
  auto *values = static_cast<Datum *>(BatchAllocate(router, sizeof(Datum) * column_count));
  auto *conversions =
      static_cast<Conversion *>(BatchAllocate(router, sizeof(Conversion) * column_count));
  auto *given = static_cast<bool *>(BatchAllocate(router, column_count));
  memset(given, 0, column_count);
  for (uint32_t i = 0; i < count; i++) {
    LineRow &row = table->rows[members[i]];
    for (int value = 0; value < row.layout->value_count; value++) {
      const int column = row.layout->columns[value];
      values[column] = row.values[value];
      conversions[column] = row.layout->conversions[value];
      given[column] = true;
    }
    row.next_member = i + 1 < count ? members[i + 1] + 1 : 0;
  }
  LineRow merged = table->rows[members[0]];
  merged.layout = FindUnion(router, table, conversions, given);
  merged.values = values;  // packed in place: never behind where it is read
  int packed = 0;
  for (size_t i = 0; i < column_count; i++)
    if (given[i]) values[packed++] = values[i];
  merged.first_member = members[0] + 1;
  merged.next_member = 0;
  *AddRow(router, table) = merged;
  return table->row_count - 1;
}

}  // namespace

void *FindSeries(void *context, std::string_view raw) {
  auto *router = static_cast<Router *>(context);
  SeriesEntry *entry = router->last->successor;
  if (entry == nullptr || entry->key.size() != raw.size() ||
      memcmp(entry->key.data(), raw.data(), raw.size()) != 0) {
    entry = static_cast<SeriesEntry *>(ByteMapFind(router->series, raw));
    if (entry == nullptr) return nullptr;
    router->last->successor = entry;
  }
  router->last = entry;
  return entry->series;
}

void CollectPoint(Router *router, int request, int64_t receive_time_ns, const LinePoint &point) {
  auto *series = static_cast<LineSeries *>(point.known);
  if (unlikely(series == nullptr)) {
    Reject reject;
    series = ResolveSeries(router, point, &reject);
    if (series == nullptr) return RejectLine(router, request, point.line, reject);
  }
  LineTable *table = series->table;
  LineLayout *layout = series->layout;
  if (unlikely(layout == nullptr || !LayoutFits(layout, point.fields)))
    layout = series->layout = FindLayout(router, table, point.fields);
  if (unlikely(static_cast<bool>(layout->reject)))
    return RejectLine(router, request, point.line, layout->reject);
  auto *values = static_cast<Datum *>(
      BatchAllocate(router, sizeof(Datum) * static_cast<size_t>(layout->value_count)));
  if (unlikely(!ConvertFields(router, layout, point.fields, values))) {
    const char *message =
        psprintf("a string has characters that %s lacks", GetDatabaseEncodingName());
    return RejectLine(router, request, point.line, MakeReject(RejectReason::kEncoding, message));
  }
  if (table->batch != router->batch_number) Touch(router, table);
  const int64_t time = point.has_time ? point.time_ns : receive_time_ns;
  if (series->batch == router->batch_number && time <= series->last_time_ns)
    table->needs_merge = true;
  series->batch = router->batch_number;
  series->last_time_ns = time;
  *AddRow(router, table) = {series, layout, values, time, point.line, request, 0, 0};
}

void MergeRows(Router *router, LineTable *table) {
  const uint32_t row_count = table->row_count;
  table->units = static_cast<uint32_t *>(
      MemoryContextAllocHuge(router->batch, sizeof(uint32_t) * (size_t{row_count} + 1)));
  uint32_t count = 0;
  for (uint32_t row = 0; row < row_count; row++)
    if (table->rows[row].layout != nullptr) table->units[count++] = row;
  table->unit_count = count;
  if (!table->needs_merge || count < 2) return;

  uint32_t *units = table->units;
  std::sort(units, units + count, [rows = table->rows](uint32_t a, uint32_t b) {
    if (rows[a].series != rows[b].series) return rows[a].series < rows[b].series;
    return rows[a].time_ns != rows[b].time_ns ? rows[a].time_ns < rows[b].time_ns : a < b;
  });
  uint32_t kept = 0;
  for (uint32_t from = 0, to; from < count; from = to) {
    const LineRow first = table->rows[units[from]];
    for (to = from + 1; to < count; to++) {
      const LineRow &row = table->rows[units[to]];
      if (row.series != first.series || row.time_ns != first.time_ns) break;
    }
    // A merged row stands in the place of its first member.
    units[kept++] =
        to - from == 1 ? units[from] : MergeGroup(router, table, units + from, to - from);
  }
  table->unit_count = kept;
  const auto place = [rows = table->rows](uint32_t unit) {
    return rows[unit].first_member == 0 ? unit : rows[unit].first_member - 1;
  };
  std::sort(units, units + kept, [place](uint32_t a, uint32_t b) { return place(a) < place(b); });
}

}  // namespace tsext::pg
