#include "pg/table/segment_by.hpp"

#include <algorithm>
#include <cstring>

#include "pg/base/boundary.hpp"

extern "C" {
#include "utils/lsyscache.h"
}

namespace tsext::pg {
namespace {

// The sample: stretches of neighbouring rows (they show which series report at one time), spread
// over the buffer (series may come one after the other).
constexpr int64_t kStretches = 16;
constexpr int64_t kStretchRows = 1024;
constexpr int64_t kCertainRows = 4096;
constexpr int kMaxChosen = 4;
constexpr int64_t kRowsPerSeries = 8;  // at least, on average: else the column does not repeat
constexpr double kCollisionLimit = 0.01;
constexpr int64_t kLongRun = 16;

uint64_t Mix(uint64_t a, uint64_t b) {
  const auto product =
      static_cast<unsigned __int128>(a ^ 0x9e3779b97f4a7c15) * (b ^ 0xd6e8feb86659fd93);
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

struct Sample {
  const RowBuffer *buffer;
  int64_t *rows;
  int64_t count;
  uint64_t *scratch;
};

Sample TakeSample(const RowBuffer *buffer) {
  Sample sample = {buffer, nullptr, 0, nullptr};
  const int64_t size = std::min(buffer->row_count, kStretches * kStretchRows);
  sample.rows = static_cast<int64_t *>(palloc(sizeof(int64_t) * (size + 1)));
  sample.scratch = static_cast<uint64_t *>(palloc(sizeof(uint64_t) * (size + 1)));
  if (size == buffer->row_count) {
    for (int64_t row = 0; row < size; row++) sample.rows[sample.count++] = row;
    return sample;
  }
  for (int64_t stretch = 0; stretch < kStretches; stretch++) {
    const int64_t start = (buffer->row_count - kStretchRows) * stretch / (kStretches - 1);
    for (int64_t i = 0; i < kStretchRows; i++) sample.rows[sample.count++] = start + i;
  }
  return sample;
}

/// A number that stands for the row's value; NULL is a value of its own.
uint64_t ValueNumber(const BufferColumn &column, int64_t row) {
  if (column.IsNull(row)) return UINT64_MAX;
  return column.kind == CellKind::kCode ? column.Code(row)
                                        : static_cast<uint64_t>(column.Integer(row));
}

uint64_t SeriesNumber(const Sample &sample, const int *columns, int count, int64_t row) {
  uint64_t number = 0;
  for (int i = 0; i < count; i++)
    number = Mix(number, ValueNumber(sample.buffer->columns[columns[i]], row));
  return number;
}

int64_t CountDistinct(uint64_t *numbers, int64_t count) {
  std::sort(numbers, numbers + count);
  return std::unique(numbers, numbers + count) - numbers;
}

int64_t CountSeries(const Sample &sample, const int *columns, int count) {
  for (int64_t i = 0; i < sample.count; i++)
    sample.scratch[i] = SeriesNumber(sample, columns, count, sample.rows[i]);
  return CountDistinct(sample.scratch, sample.count);
}

/// Rows of the sample that share series and time with another one.
int64_t CountCollisions(const Sample &sample, const int *columns, int count) {
  for (int64_t i = 0; i < sample.count; i++) {
    const int64_t row = sample.rows[i];
    sample.scratch[i] = Mix(SeriesNumber(sample, columns, count, row),
                            static_cast<uint64_t>(RowBufferTime(sample.buffer, row)));
  }
  return sample.count - CountDistinct(sample.scratch, sample.count);
}

/// Average number of neighbouring rows with the same value.
int64_t AverageRun(const Sample &sample, int column) {
  int64_t runs = 1;
  for (int64_t i = 1; i < sample.count; i++)
    runs += static_cast<int64_t>(ValueNumber(sample.buffer->columns[column], sample.rows[i]) !=
                                 ValueNumber(sample.buffer->columns[column], sample.rows[i - 1]));
  return sample.count / runs;
}

bool IsOrderBy(const TableOptions *options, AttrNumber attribute) {
  for (int i = 0; i < options->order_by_count; i++)
    if (options->order_by[i] == attribute) return true;
  return attribute == options->time_attribute;
}

/// Whether the column's type and name allow it to tell series apart.
bool IsKeyLike(const RowBuffer *buffer, const BufferColumn &column) {
  const Form_pg_attribute attribute = TupleDescAttr(buffer->descriptor, column.attribute - 1);
  if (column.kind == CellKind::kCode)
    return column.type.type == PhysicalType::kText || column.type.type == PhysicalType::kUuid ||
           column.type.type == PhysicalType::kFixed;
  if (!IsInteger(column.type.type) || column.type.type == PhysicalType::kBool) return false;
  if (get_typtype(getBaseType(attribute->atttypid)) == TYPTYPE_ENUM) return true;
  const char *name = NameStr(attribute->attname);
  const size_t length = strlen(name);
  return strcmp(name, "id") == 0 || (length > 3 && strcmp(name + length - 3, "_id") == 0);
}

struct Candidate {
  int column;  // index into the buffer's columns
  int64_t distinct;
  int64_t collisions;
};

/// A better first column: fewer collisions, if that matters; then more values.
bool BetterFirst(const Candidate &a, const Candidate &b, int64_t limit) {
  const bool a_is_enough = a.collisions <= limit, b_is_enough = b.collisions <= limit;
  if (a_is_enough != b_is_enough) return a_is_enough;
  if (!a_is_enough && a.collisions != b.collisions) return a.collisions < b.collisions;
  return a.distinct > b.distinct;
}

}  // namespace

SegmentByChoice ChooseSegmentBy(const RowBuffer *buffer, const TableOptions *options) {
  SegmentByChoice choice = {};
  if (buffer->row_count == 0) return choice;
  const Sample sample = TakeSample(buffer);
  choice.is_certain = buffer->row_count >= kCertainRows;

  auto *candidates =
      static_cast<Candidate *>(palloc(sizeof(Candidate) * (buffer->column_count + 1)));
  int candidate_count = 0;
  bool only_long_runs = true;
  for (int i = 0; i < buffer->column_count; i++) {
    const BufferColumn &column = buffer->columns[i];
    if (IsOrderBy(options, column.attribute) || !IsKeyLike(buffer, column)) continue;
    Candidate candidate = {i, CountSeries(sample, &i, 1), 0};
    if (candidate.distinct < 2) continue;
    // The dictionary knows the whole buffer, where a sample of many series shows each but once.
    const bool repeats = column.kind == CellKind::kCode
                             ? buffer->row_count / column.entry_count >= kRowsPerSeries
                             : sample.count / candidate.distinct >= kRowsPerSeries;
    if (!repeats) continue;
    candidate.collisions = CountCollisions(sample, &i, 1);
    only_long_runs &= AverageRun(sample, i) >= kLongRun;
    candidates[candidate_count++] = candidate;
  }
  if (candidate_count == 0) return choice;

  const auto limit = static_cast<int64_t>(static_cast<double>(sample.count) * kCollisionLimit);
  // One reading a time, and the columns change rarely: a single series and its states.
  if (buffer->time_column >= 0 && buffer->time_ordered && only_long_runs &&
      CountCollisions(sample, nullptr, 0) <= limit)
    return choice;

  int chosen[kMaxChosen];
  std::stable_sort(
      candidates, candidates + candidate_count,
      [&](const Candidate &a, const Candidate &b) { return BetterFirst(a, b, limit); });
  chosen[choice.count++] = candidates[0].column;
  int64_t collisions = candidates[0].collisions;
  while (choice.count < kMaxChosen && buffer->time_column >= 0 && collisions > limit) {
    int best = -1;
    int64_t best_collisions = collisions / 2;  // less is not worth a column
    for (int i = 1; i < candidate_count; i++) {
      chosen[choice.count] = candidates[i].column;
      const int64_t now = CountCollisions(sample, chosen, choice.count + 1);
      if (now >= best_collisions) continue;
      best = candidates[i].column;
      best_collisions = now;
    }
    if (best < 0) break;
    chosen[choice.count++] = best;
    collisions = best_collisions;
  }
  for (int i = 0; i < choice.count; i++)
    choice.attributes[i] = buffer->columns[chosen[i]].attribute;
  return choice;
}

}  // namespace tsext::pg
