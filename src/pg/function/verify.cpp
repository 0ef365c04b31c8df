// tsext.verify(): reads everything a table's segments hold and compares it with what the directory,
// the heads and the footers say. Damage is reported as rows, not raised: one bad block must not
// hide the others.

#include <algorithm>
#include <cmath>
#include <cstring>

#include "tsext/segment.hpp"
#include "tsext/sort_key.hpp"

#include "pg/base/boundary.hpp"
#include "pg/base/datum.hpp"
#include "pg/catalog/chunk.hpp"
#include "pg/catalog/options.hpp"
#include "pg/catalog/segment.hpp"
#include "pg/function/readable.hpp"
#include "pg/table/store.hpp"

extern "C" {
#include "access/table.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"
}

namespace tsext::pg {
namespace {

/// All values of one column of the segment, decoded. nullptr where a vector could not be.
struct DecodedColumn {
  const ColumnFooter *footer;
  const Vector **vectors;
  bool is_complete;
};

struct Verifier {
  Relation relation;
  Relation toast;
  Snapshot snapshot;
  const TableOptions *options;
  ReturnSetInfo *result;
  MemoryContext context;      // of the segment
  ContextResource *resource;  // in it
  const SegmentRow *row;
  const SegmentHead *head;
  std::byte *storage;      // of the segment; what was read of it
  ByteSpan bytes;          // the same
  DecodedColumn *columns;  // parallel to head->columns()
};

void Report(const Verifier *verifier, AttrNumber attribute, const char *problem) {
  const SegmentRow *row = verifier->row;
  TupleDesc columns = RelationGetDescr(verifier->relation);
  const bool has_column = attribute > 0 && attribute <= columns->natts;
  Datum values[4] = {};
  bool nulls[4] = {row == nullptr, row == nullptr, !has_column, false};
  if (row != nullptr) {
    values[0] = CStringGetTextDatum(ChunkName(RelationGetRelid(verifier->relation),
                                              row->chunk_start, verifier->options->time_type));
    values[1] = Int32GetDatum(row->seg);
  }
  if (has_column) values[2] = NameGetDatum(&TupleDescAttr(columns, attribute - 1)->attname);
  values[3] = CStringGetTextDatum(problem);
  tuplestore_putvalues(verifier->result->setResult, verifier->result->setDesc, values, nulls);
}

bool IsOk(const Verifier *verifier, AttrNumber attribute, const Status &status) {
  if (!status.ok()) Report(verifier, attribute, status.message());
  return status.ok();
}

// ---- Directory ----

void CheckDirectoryRow(const Verifier *verifier) {
  const SegmentRow *row = verifier->row;
  if (row->chunk_start >= row->chunk_end) Report(verifier, 0, "the range of its chunk is empty");
  if (row->tmin > row->tmax) Report(verifier, 0, "its first time is after its last one");
  const bool has_time = verifier->options->time_attribute != InvalidAttrNumber;
  if (has_time && (row->tmin < row->chunk_start ||
                   (row->tmax >= row->chunk_end && row->chunk_end != kTimeMaximum)))
    Report(verifier, 0, "its times lie outside its chunk");
  if (row->nrows < 1 || row->nrows > static_cast<int32_t>(kMaxSegmentRows))
    Report(verifier, 0, "the directory's number of rows is out of range");
}

/// rows: in order of chunk_start.
void CheckChunksDoNotOverlap(Verifier *verifier, const SegmentRow *rows, int count) {
  for (int i = 1; i < count; ++i) {
    const bool same_chunk = rows[i].chunk_start == rows[i - 1].chunk_start &&
                            rows[i].chunk_end == rows[i - 1].chunk_end;
    if (same_chunk || rows[i].chunk_start >= rows[i - 1].chunk_end) continue;
    verifier->row = &rows[i];
    Report(verifier, 0, "its chunk overlaps another one");
  }
}

void CheckTotals(Verifier *verifier, const SegmentRow *rows, int count) {
  StoreTotal found = {};
  for (int i = 0; i < count; ++i) {
    found.rows += rows[i].nrows;
    found.bytes += rows[i].nbytes;
    ++found.segments;
  }
  const StoreTotal kept =
      GetStoreTotal(verifier->relation->rd_rel->reltoastrelid, verifier->snapshot);
  verifier->row = nullptr;
  if (kept.rows != found.rows || kept.bytes != found.bytes || kept.segments != found.segments)
    Report(verifier, 0,
           psprintf("the totals say " INT64_FORMAT " segments, " INT64_FORMAT " rows, " INT64_FORMAT
                    " bytes; the directory " INT64_FORMAT ", " INT64_FORMAT ", " INT64_FORMAT,
                    kept.segments, kept.rows, kept.bytes, found.segments, found.rows, found.bytes));
}

// ---- Head ----

/// Reads a part of the segment to its place in verifier->bytes.
Status ReadPart(const Verifier *verifier, uint64_t offset, uint64_t length) {
  return StoreTryRead(verifier->toast, verifier->row, verifier->snapshot, offset, length,
                      verifier->storage + offset, nullptr);
}

/// Reads and parses the head; false when nothing more can be said.
bool ReadHead(Verifier *verifier) {
  const SegmentRow *row = verifier->row;
  if (row->nbytes < static_cast<int64_t>(SegmentHead::kPrefixSize) ||
      row->nbytes > static_cast<int64_t>(MaxAllocSize)) {
    Report(verifier, 0, "the directory's length is out of range");
    return false;
  }
  const auto size = static_cast<size_t>(row->nbytes);
  auto *bytes = static_cast<std::byte *>(verifier->resource->allocate(size, 64));
  verifier->storage = bytes;
  verifier->bytes = {bytes, size};
  if (!IsOk(verifier, 0, ReadPart(verifier, 0, SegmentHead::kPrefixSize))) return false;
  uint64_t head_size = 0;
  if (!IsOk(verifier, 0, SegmentHead::HeadSize({bytes, SegmentHead::kPrefixSize}, head_size)))
    return false;
  if (head_size > size) {
    Report(verifier, 0, "the head is longer than the segment");
    return false;
  }
  if (!IsOk(verifier, 0, ReadPart(verifier, 0, head_size))) return false;
  auto *head = New<SegmentHead>(verifier->context, verifier->resource);
  if (!IsOk(verifier, 0, head->Parse({bytes, static_cast<size_t>(head_size)}))) return false;
  verifier->head = head;
  return true;
}

/// Compares head and directory; false when they are not of the same segment.
bool CheckHead(const Verifier *verifier) {
  const SegmentRow *row = verifier->row;
  const SegmentHead *head = verifier->head;
  if (head->value_id() != row->value_id) {
    Report(verifier, 0, "the bytes belong to another segment");
    return false;
  }
  if (head->row_count() != static_cast<uint32_t>(row->nrows)) {
    Report(verifier, 0, "the number of rows differs from the directory's");
    return false;
  }
  if (head->segment_size() != static_cast<uint64_t>(row->nbytes)) {
    Report(verifier, 0, "the length differs from the directory's");
    return false;
  }
  if (static_cast<int16_t>(head->level()) != row->level)
    Report(verifier, 0, "the level differs from the directory's");
  if (head->time_attribute() != verifier->options->time_attribute)
    Report(verifier, 0, "it was cut by another time column");
  TupleDesc columns = RelationGetDescr(verifier->relation);
  if (head->attribute_count() > columns->natts)
    Report(verifier, 0, "it has more columns than the table");
  for (int i = 0; i < Min(columns->natts, head->attribute_count()); ++i)
    if (!TupleDescAttr(columns, i)->attisdropped &&
        head->FindColumn(static_cast<int16_t>(i + 1)) < 0)
      Report(verifier, static_cast<AttrNumber>(i + 1), "the column is missing");
  return true;
}

// ---- Columns ----

/// The order of values of one class in sort keys and statistics; for bytes a prefix comes first.
int CompareValues(const Vector &a, uint32_t row_a, const Vector &b, uint32_t row_b) {
  uint64_t left = 0;
  uint64_t right = 0;
  if (IsInteger(a.type)) {
    left = OrderedInteger(a.integers[row_a]);
    right = OrderedInteger(b.integers[row_b]);
  } else if (a.type == PhysicalType::kFloat64) {
    left = OrderedDouble(a.doubles[row_a]);
    right = OrderedDouble(b.doubles[row_b]);
  } else if (a.type == PhysicalType::kFloat32) {
    left = OrderedDouble(a.floats[row_a]);
    right = OrderedDouble(b.floats[row_b]);
  } else {
    return CompareSortKeys(a.bytes[row_a], b.bytes[row_b]);
  }
  return left < right ? -1 : static_cast<int>(left > right);
}

double RealAt(const Vector &vector, uint32_t row) {
  return vector.type == PhysicalType::kFloat32 ? static_cast<double>(vector.floats[row])
                                               : vector.doubles[row];
}

/// A value's place, and the extreme ones met so far.
struct Place {
  const Vector *vector = nullptr;
  uint32_t row = 0;
};
struct Found {
  int64_t nulls = 0;
  int128 integer_sum = 0;
  double real_sum = 0, real_magnitude = 0;
  bool has_nan = false;
  Place min, max, first, last;
  int64_t first_time = 0, last_time = 0;
};

bool IsBefore(const Place &a, const Place &b) {
  return b.vector == nullptr || CompareValues(*a.vector, a.row, *b.vector, b.row) < 0;
}

void LookAt(const Vector &vector, uint32_t row, int64_t time, Found *found) {
  const Place here{&vector, row};
  if (IsBefore(here, found->min)) found->min = here;
  if (found->max.vector == nullptr || IsBefore(found->max, here)) found->max = here;
  if (found->first.vector == nullptr || time < found->first_time) {
    found->first = here;
    found->first_time = time;
  }
  if (found->last.vector == nullptr || time >= found->last_time) {
    found->last = here;
    found->last_time = time;
  }
  if (IsInteger(vector.type)) found->integer_sum += vector.integers[row];
  if (!IsFloat(vector.type)) return;
  const double value = RealAt(vector, row);
  found->has_nan = found->has_nan || std::isnan(value);
  found->real_sum += value;
  found->real_magnitude += std::fabs(value);
}

bool Matches(const Statistic &statistic, const Place &place, const PhysicalType type) {
  if (!statistic.valid) return true;
  if (place.vector == nullptr) return false;
  if (IsInteger(type)) return statistic.integer == place.vector->integers[place.row];
  if (IsFloat(type))
    return OrderedDouble(statistic.real) == OrderedDouble(RealAt(*place.vector, place.row));
  const ByteView value = place.vector->bytes[place.row];
  const size_t length = statistic.bytes.size();
  if (statistic.truncated ? length >= value.size : length != value.size) return false;
  return length == 0 || memcmp(statistic.bytes.data(), value.data, length) == 0;
}

/// Plain sums in row order differ by rounding only, however they were added up.
bool MatchesRealSum(double kept, const Found &found) {
  if (!std::isfinite(found.real_magnitude)) return !std::isfinite(kept) || std::isnan(kept);
  return std::fabs(kept - found.real_sum) <= 1e-9 * found.real_magnitude;
}

void CheckFirstAndLast(const Verifier *verifier, const ColumnFooter &footer, const Found &found) {
  if (!Matches(footer.first, found.first, footer.type) ||
      (footer.first.valid && footer.first_time != found.first_time))
    Report(verifier, footer.attribute, "the first value differs from the footer's");
  if (!Matches(footer.last, found.last, footer.type) ||
      (footer.last.valid && footer.last_time != found.last_time))
    Report(verifier, footer.attribute, "the last value differs from the footer's");
}

/// times_are_known: false when the time column is damaged, which is reported.
void CheckColumnFooter(const Verifier *verifier, const ColumnFooter &footer, const Found &found,
                       bool times_are_known) {
  const AttrNumber attribute = footer.attribute;
  if (footer.null_count != found.nulls)
    Report(verifier, attribute, "the number of NULLs differs from the footer's");
  const bool has_values = found.nulls < verifier->row->nrows;
  if (has_values && (IsInteger(footer.type) || IsFloat(footer.type)) &&
      (!footer.min.valid || !footer.max.valid))
    Report(verifier, attribute, "the footer has no minimum and maximum");
  if (!Matches(footer.min, found.min, footer.type))
    Report(verifier, attribute, "the minimum differs from the footer's");
  if (!Matches(footer.max, found.max, footer.type))
    Report(verifier, attribute, "the maximum differs from the footer's");
  if (times_are_known) CheckFirstAndLast(verifier, footer, found);
  if (footer.has_sum && IsInteger(footer.type) && footer.integer_sum != found.integer_sum)
    Report(verifier, attribute, "the sum differs from the footer's");
  if (footer.has_sum && IsFloat(footer.type) && !MatchesRealSum(footer.real_sum, found))
    Report(verifier, attribute, "the sum differs from the footer's");
  if (IsFloat(footer.type) && footer.has_nan != found.has_nan)
    Report(verifier, attribute, "the footer's mark of NaN is wrong");
}

/// What the zone map says of one vector.
bool MatchesZone(const VectorFooter &zone, const Vector &vector, uint32_t nulls,
                 const Found &found) {
  if (zone.any_null != (nulls > 0) || zone.all_null != (nulls == vector.count)) return false;
  if (!zone.has_range) return true;
  if (found.min.vector == nullptr) return false;
  if (IsInteger(vector.type))
    return zone.min_integer == found.min.vector->integers[found.min.row] &&
           zone.max_integer == found.max.vector->integers[found.max.row];
  return OrderedDouble(zone.min_real) == OrderedDouble(RealAt(*found.min.vector, found.min.row)) &&
         OrderedDouble(zone.max_real) == OrderedDouble(RealAt(*found.max.vector, found.max.row));
}

/// Decodes every vector of a column. False when the block cannot be opened.
void DecodeColumn(Verifier *verifier, uint32_t index) {
  const SegmentHead &head = *verifier->head;
  const ColumnFooter &footer = head.columns()[index];
  DecodedColumn &column = verifier->columns[index];
  column.footer = &footer;
  column.vectors = static_cast<const Vector **>(palloc0(sizeof(Vector *) * head.vector_count()));
  if (footer.offset > verifier->bytes.size() ||
      footer.length > verifier->bytes.size() - footer.offset) {
    Report(verifier, footer.attribute, "the block lies outside the segment");
    return;
  }
  if (!IsOk(verifier, footer.attribute, ReadPart(verifier, footer.offset, footer.length))) return;
  auto *block = New<BlockReader>(verifier->context, verifier->resource);
  if (!IsOk(verifier, footer.attribute,
            block->Open(head, index, verifier->bytes.subspan(footer.offset, footer.length))))
    return;
  column.is_complete = true;
  for (uint32_t i = 0; i < head.vector_count(); ++i) {
    auto *vector = New<Vector>(verifier->context, verifier->resource);
    const Status status = block->Read(i, *vector);
    if (!status.ok())
      Report(verifier, footer.attribute, psprintf("vector %u: %s", i, status.message()));
    else if (vector->count != head.VectorRows(i) || vector->type != footer.type)
      Report(verifier, footer.attribute, psprintf("vector %u has another size or type", i));
    else
      column.vectors[i] = vector;
    column.is_complete = column.is_complete && column.vectors[i] != nullptr;
  }
}

/// Times of the segment; nullptr without a time column or when it is damaged.
const DecodedColumn *TimeColumn(const Verifier *verifier) {
  const int index = verifier->head->time_attribute() == 0
                        ? -1
                        : verifier->head->FindColumn(verifier->head->time_attribute());
  if (index < 0 || !verifier->columns[index].is_complete) return nullptr;
  return IsInteger(verifier->columns[index].footer->type) ? &verifier->columns[index] : nullptr;
}

void Merge(const Found &part, Found *whole) {
  whole->nulls += part.nulls;
  whole->integer_sum += part.integer_sum;
  whole->real_sum += part.real_sum;
  whole->real_magnitude += part.real_magnitude;
  whole->has_nan = whole->has_nan || part.has_nan;
  if (part.min.vector == nullptr) return;
  if (IsBefore(part.min, whole->min)) whole->min = part.min;
  if (whole->max.vector == nullptr || IsBefore(whole->max, part.max)) whole->max = part.max;
  if (whole->first.vector == nullptr || part.first_time < whole->first_time) {
    whole->first = part.first;
    whole->first_time = part.first_time;
  }
  if (whole->last.vector == nullptr || part.last_time >= whole->last_time) {
    whole->last = part.last;
    whole->last_time = part.last_time;
  }
}

void CheckColumn(const Verifier *verifier, uint32_t index) {
  const SegmentHead &head = *verifier->head;
  const DecodedColumn &column = verifier->columns[index];
  if (!column.is_complete) return;
  const DecodedColumn *times = TimeColumn(verifier);
  const ColumnFooter &footer = *column.footer;
  const bool has_zones = IsInteger(footer.type) || IsFloat(footer.type);
  Found whole;
  for (uint32_t i = 0; i < head.vector_count(); ++i) {
    const Vector &vector = *column.vectors[i];
    Found part;
    for (uint32_t row = 0; row < vector.count; ++row) {
      if (vector.IsNull(row))
        ++part.nulls;
      else
        LookAt(vector, row, times == nullptr ? 0 : times->vectors[i]->integers[row], &part);
    }
    if (has_zones &&
        !MatchesZone(head.Vector(index, i), vector, static_cast<uint32_t>(part.nulls), part))
      Report(verifier, footer.attribute, psprintf("the zone map of vector %u is wrong", i));
    Merge(part, &whole);
  }
  CheckColumnFooter(verifier, footer, whole, times != nullptr || head.time_attribute() == 0);
  if (footer.attribute != head.time_attribute() || whole.min.vector == nullptr ||
      !IsInteger(footer.type))
    return;
  const SegmentRow *row = verifier->row;
  if (whole.nulls > 0) Report(verifier, footer.attribute, "a time is NULL");
  if (whole.min.vector->integers[whole.min.row] != row->tmin ||
      whole.max.vector->integers[whole.max.row] != row->tmax)
    Report(verifier, footer.attribute, "the times differ from the directory's");
}

void CheckType(const Verifier *verifier, const ColumnFooter &footer) {
  TupleDesc columns = RelationGetDescr(verifier->relation);
  if (footer.attribute < 1 || footer.attribute > columns->natts) return;
  Form_pg_attribute attribute = TupleDescAttr(columns, footer.attribute - 1);
  if (attribute->attisdropped) return;
  const DatumClass type = ClassOf(attribute);
  if (footer.type != type.type || (IsBytes(footer.type) && footer.width != type.width))
    Report(verifier, footer.attribute, "the values are stored as another type");
}

// ---- Order ----

const DecodedColumn *SortColumn(const Verifier *verifier, int16_t attribute) {
  const int index = verifier->head->FindColumn(attribute);
  if (index < 0 || !verifier->columns[index].is_complete) return nullptr;
  return &verifier->columns[index];
}

/// NULL after every value.
int CompareCells(const DecodedColumn *column, uint32_t a, uint32_t b) {
  const Vector &left = *column->vectors[a / kVectorSize];
  const Vector &right = *column->vectors[b / kVectorSize];
  const bool left_null = left.IsNull(a % kVectorSize);
  const bool right_null = right.IsNull(b % kVectorSize);
  if (left_null || right_null) return static_cast<int>(left_null) - static_cast<int>(right_null);
  return CompareValues(left, a % kVectorSize, right, b % kVectorSize);
}

void CheckOrder(const Verifier *verifier) {
  const auto sort_key = verifier->head->sort_key();
  const DecodedColumn *columns[2 * kMaxSortColumns + 1];
  size_t count = 0;
  for (const int16_t attribute : sort_key) {
    if (count == lengthof(columns)) break;
    columns[count] = SortColumn(verifier, attribute);
    if (columns[count++] == nullptr) return;  // damaged, and reported
  }
  for (uint32_t row = 1; row < verifier->head->row_count(); ++row) {
    int order = 0;
    for (size_t i = 0; i < count && order == 0; ++i) order = CompareCells(columns[i], row - 1, row);
    if (order <= 0) continue;
    Report(verifier, 0, psprintf("row %u is out of order", row));
    return;
  }
}

void AppendCell(const DecodedColumn *column, uint32_t row, SortKey *key) {
  const Vector &vector = *column->vectors[row / kVectorSize];
  const uint32_t at = row % kVectorSize;
  if (vector.IsNull(at))
    key->AppendNull();
  else if (IsBytes(vector.type))
    key->AppendBytes(vector.bytes[at]);
  else if (IsFloat(vector.type))
    key->AppendOrdered(OrderedDouble(RealAt(vector, at)));
  else
    key->AppendOrdered(OrderedInteger(vector.integers[at]));
}

bool IsKey(const bytea *kept, const SortKey &key) {
  const ByteView view{reinterpret_cast<const std::byte *>(VARDATA_ANY(kept)),
                      static_cast<uint32_t>(VARSIZE_ANY_EXHDR(kept))};
  return CompareSortKeys(view, key.view()) == 0;
}

/// The directory's keys are those of the first and the last row, of the first columns of the sort
/// key: how many were segment-by columns is not kept, so any number will do.
void CheckKeys(const Verifier *verifier) {
  const SegmentRow *row = verifier->row;
  if (row->key_lo == nullptr && row->key_hi == nullptr) return;
  SortKey low;
  SortKey high;
  bool found = false;
  for (const int16_t attribute : verifier->head->sort_key()) {
    const DecodedColumn *column = SortColumn(verifier, attribute);
    if (column == nullptr) return;
    AppendCell(column, 0, &low);
    AppendCell(column, verifier->head->row_count() - 1, &high);
    found = found || (row->key_lo != nullptr && row->key_hi != nullptr && IsKey(row->key_lo, low) &&
                      IsKey(row->key_hi, high));
  }
  if (!found) Report(verifier, 0, "the keys differ from the directory's");
}

void VerifySegment(Verifier *verifier) {
  CheckDirectoryRow(verifier);
  if (!ReadHead(verifier) || !CheckHead(verifier)) return;
  const auto count = static_cast<uint32_t>(verifier->head->columns().size());
  verifier->columns = static_cast<DecodedColumn *>(palloc0(sizeof(DecodedColumn) * Max(count, 1U)));
  for (uint32_t i = 0; i < count; ++i) {
    CHECK_FOR_INTERRUPTS();
    CheckType(verifier, verifier->head->columns()[i]);
    DecodeColumn(verifier, i);
  }
  for (uint32_t i = 0; i < count; ++i) CheckColumn(verifier, i);
  CheckOrder(verifier);
  CheckKeys(verifier);
}

}  // namespace
}  // namespace tsext::pg

using namespace tsext::pg;  // NOLINT(google-build-using-namespace): the C function below

TSEXT_FUNCTION(tsext_verify) {
  Relation relation = OpenReadable(PG_GETARG_OID(0));
  InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
  Verifier verifier = {};
  verifier.relation = relation;
  verifier.snapshot = GetActiveSnapshot();
  verifier.options = GetTableOptions(relation);
  verifier.result = reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo);
  const Oid store = relation->rd_rel->reltoastrelid;
  int count = 0;
  const SegmentRow *rows =
      LoadSegments(store, kTimeMinimum, kTimeMaximum, verifier.snapshot, &count);
  if (count > 0) verifier.toast = table_open(store, AccessShareLock);
  CheckChunksDoNotOverlap(&verifier, rows, count);
  CheckTotals(&verifier, rows, count);
  for (int i = 0; i < count; ++i) {
    CHECK_FOR_INTERRUPTS();
    verifier.context =
        AllocSetContextCreate(CurrentMemoryContext, "tsext verify", ALLOCSET_DEFAULT_SIZES);
    const MemoryContext caller = MemoryContextSwitchTo(verifier.context);
    verifier.resource = New<ContextResource>(verifier.context, verifier.context);
    verifier.row = &rows[i];
    verifier.head = nullptr;
    VerifySegment(&verifier);
    MemoryContextSwitchTo(caller);
    MemoryContextDelete(verifier.context);
  }
  if (count > 0) table_close(verifier.toast, NoLock);
  table_close(relation, AccessShareLock);
  return static_cast<Datum>(0);
}
