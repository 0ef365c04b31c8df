#pragma once

// The inside of a Router, for router.cpp and the files that do its parts:
//
//   collect.cpp     points of a batch into rows of their tables: series and layouts
//   line_table.cpp  what tables and columns there are; making new ones
//   line_insert.cpp rows into tables; finding the rows that a table refuses
//
// A batch goes: collect (no locks, nothing is written) -> make tables and columns -> merge rows of
// equal series and time -> lock the tables -> insert -> report. When a table turns out to be
// another one than was thought while it was not locked, the batch starts again.
//
// What is remembered (the `known` context) is forgotten all at once: when a table's definition
// changed, when it grows beyond cache_bytes, or when a table or column could not be made.

#include <cstdint>
#include <span>
#include <string_view>

#include "tsext/line_protocol.hpp"

#include "pg/base/boundary.hpp"
#include "pg/ingest/byte_map.hpp"
#include "pg/ingest/router.hpp"

namespace tsext::pg {

/// A reason in words; message == nullptr: none.
struct Reject {
  RejectReason reason = RejectReason::kFailed;
  const char *message = nullptr;
  bool retry = false;

  explicit operator bool() const { return message != nullptr; }
};

/// What is done with a field's value on its way to a column.
enum class Conversion : uint8_t {
  kFloat,
  kInt,
  kIntToFloat,
  kIntToNumeric,
  kUintToNumeric,
  kBool,
  kString
};

struct LineColumn {
  std::string_view name;  // in the server's encoding, zero-terminated
  Oid type;               // of domains their base type; InvalidOid: nothing may be written to it
  AttrNumber attribute;   // 0: to be made
  bool is_plain;          // a value of `type` needs no cast: no domain, no type modifier
  bool is_tag, is_field;  // by comment, or as it was asked for; neither: a user's own column
  bool is_nanoseconds;    // time_ns, under keep_ns
  bool is_used;           // to be made, and a row of the batch needs it
};

/// Columns of a series' tags.
struct TagColumns {
  int64_t number;  // in the order of coming to be known
  int count;
  int16_t *columns;  // indexes into LineTable::columns
};

/// A field as sent, and where it goes.
struct LayoutField {
  std::string_view key;  // as sent
  FieldType type;
  bool is_dropped;  // the same field comes again
  Conversion conversion;
};

/// The fields that one or more lines of a table have in common.
struct LineLayout {
  int64_t number;       // in the order of coming to be known
  int field_count;      // as sent; 0 for layouts made by merging rows
  LayoutField *fields;  // as sent
  int value_count;
  int16_t *columns;         // of each value: index into LineTable::columns
  Conversion *conversions;  // of each value
  int widened;              // integers among them that go to float columns
  Reject reject;            // of every line of this layout
};

struct LineTable;

struct LineSeries {
  LineTable *table;
  TagColumns *tags;
  Datum *values;  // text of each tag
  LineLayout *layout;
  int64_t last_time_ns;  // of its last point in batch `batch`
  uint64_t batch;
};

/// One spelling of a series.
struct SeriesEntry {
  std::string_view key;
  LineSeries *series;
  SeriesEntry *successor;  // that followed it the last time: senders repeat their order
};

/// A row of the batch. Rows of equal series and time become one whose members they are.
struct LineRow {
  LineSeries *series;
  LineLayout *layout;  // nullptr: rejected
  Datum *values;
  int64_t time_ns;
  std::string_view line;
  int32_t request;
  uint32_t first_member, next_member;  // index + 1; 0 = none
};

struct LineTable {
  LineTable *next;
  std::string_view name;  // in the server's encoding, zero-terminated
  Oid relation_id;        // InvalidOid: to be made
  char kind;              // relkind
  Oid time_type;          // timestamptz or timestamp; its column is not among `columns`
  AttrNumber time_attribute;
  int column_total;  // columns that are not dropped, and those to be made
  LineColumn *columns;
  int column_count, column_capacity;
  ByteMap column_map;  // by name: index + 1
  int nanoseconds;     // index of time_ns, -1 = none
  ByteMap tag_sets;    // by column indexes
  ByteMap layouts;     // by keys and types as sent
  ByteMap unions;      // made by merging rows, by columns and conversions
  bool is_stale;       // DDL on it was seen since its definition was read
  Reject reject;       // of every line; such tables are forgotten after the batch

  // The batch's.
  uint64_t batch;
  LineRow *rows;
  uint32_t row_count, row_capacity;
  bool needs_merge;
  uint32_t *units;  // rows to be written
  uint32_t unit_count;
};

struct RejectedLine {
  int request;
  std::string_view line;
  Reject reject;
};

struct Router {
  Router *next;  // of all routers of the process
  MemoryContext context, known, batch;
  MemoryContextCallback unlink;
  ContextResource *memory;
  LineReader *reader;
  char schema[NAMEDATALEN];
  Oid schema_id;
  RouterOptions options;
  RouterStats stats;
  uint64_t seed;
  Oid conversion;  // UTF-8 to the server's encoding; InvalidOid: not needed

  // Known.
  ByteMap series;  // by bytes as sent: SeriesEntry
  SeriesEntry nowhere, *last;
  int64_t series_count, last_number;
  bool warned;
  LineTable *tables;
  ByteMap table_map;  // by name
  bool must_forget;   // at the next batch
  bool is_writing;

  // The batch's.
  uint64_t batch_number;
  LineTable **touched;
  int touched_count, touched_capacity;
  RejectedLine *rejected;
  int64_t rejected_count, rejected_capacity;
  int64_t line_count;
  char *arena, *arena_end;
  int64_t table_total;  // in the schema; -1 = not counted yet
};

// router.cpp
/// Memory until the end of the batch, 8-byte aligned.
void *BatchAllocateSlow(Router *router, size_t size);
inline void *BatchAllocate(Router *router, size_t size) {
  size = (size + 7) & ~size_t{7};
  if (static_cast<size_t>(router->arena_end - router->arena) < size)
    return BatchAllocateSlow(router, size);
  void *memory = router->arena;
  router->arena += size;
  return memory;
}
void RejectLine(Router *router, int request, std::string_view line, const Reject &reject);
void RejectRow(Router *router, const LineTable *table, uint32_t row, const Reject &reject);
/// A copy with a zero behind it.
std::string_view CopyText(MemoryContext context, std::string_view text);

// collect.cpp
/// For LineReader: the LineSeries of a series that was seen before.
void *FindSeries(void *router, std::string_view raw);
void CollectPoint(Router *router, int request, int64_t receive_time_ns, const LinePoint &point);
/// Joins rows of equal series and time; fills in the table's units.
void MergeRows(Router *router, LineTable *table);

// line_table.cpp
/// From now on until its context goes the router sees DDL.
void WatchTables(Router *router);
/// The table of a measurement (its name in the server's encoding); its `reject` may be set.
/// nullptr: no such table may be (*reject).
LineTable *FindTable(Router *router, std::string_view name, Reject *reject);
/// A column for a tag (type text) or field; made later when there is none. Its index, or -1.
int FindColumn(Router *router, LineTable *table, std::string_view name, bool is_tag, Oid type,
               Reject *reject);
/// Makes the table and the columns that rows need; rows that need what cannot be made are rejected.
void MakeTableAndColumns(Router *router, LineTable *table);
/// False: the table is not what it was thought to be. Call with a lock on it, or at a batch's
/// start.
bool IsTableAsKnown(Router *router, LineTable *table);

/// For messages.
const char *TypeText(Oid type);

// line_insert.cpp
/// Locks the tables of the batch and inserts their rows. False, with nothing inserted: a table has
/// changed.
bool InsertRows(Router *router);
/// What an error in a subtransaction means for the rows it was about. Errors that are no row's and
/// no table's fault are raised again.
Reject RejectFor(Router *router, ErrorData *error);
bool IsTableFault(int sqlstate);

}  // namespace tsext::pg
