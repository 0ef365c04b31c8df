#include "pg/table/row_sort.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "tsext/sort_key.hpp"

#include "pg/base/boundary.hpp"

namespace tsext::pg {
namespace {

constexpr int kDigitBits = 11;
constexpr uint32_t kDigits = 1U << kDigitBits;
constexpr uint32_t kSmallRun = 2048;  // below, comparing is cheaper than counting

template <typename T>
T *AllocateArray(int64_t count) {
  return static_cast<T *>(
      MemoryContextAllocHuge(CurrentMemoryContext, sizeof(T) * std::max<int64_t>(count, 1)));
}

/// Distinct numbers and their ranks.
class NumberRanks {
 public:
  NumberRanks() : slots_(AllocateArray<uint32_t>(kFirstSlots)), mask_(kFirstSlots - 1) {
    numbers_ = AllocateArray<uint64_t>(kFirstSlots / 2);
    std::fill_n(slots_, kFirstSlots, 0);
  }

  uint32_t Intern(uint64_t number) {
    if (count_ > 0 && numbers_[last_] == number) return last_;
    uint32_t slot = Hash(number);
    for (; slots_[slot] != 0; slot = (slot + 1) & mask_)
      if (numbers_[slots_[slot] - 1] == number) return last_ = slots_[slot] - 1;
    if (count_ == (mask_ + 1) / 2) {
      Grow();
      slot = Hash(number);
      while (slots_[slot] != 0) slot = (slot + 1) & mask_;
    }
    numbers_[count_] = number;
    slots_[slot] = count_ + 1;
    return last_ = count_++;
  }

  /// Rank of each interned number.
  uint32_t *Ranks() const {
    auto *order = AllocateArray<uint32_t>(count_);
    for (uint32_t i = 0; i < count_; i++) order[i] = i;
    std::sort(order, order + count_,
              [this](uint32_t a, uint32_t b) { return numbers_[a] < numbers_[b]; });
    auto *ranks = AllocateArray<uint32_t>(count_);
    for (uint32_t i = 0; i < count_; i++) ranks[order[i]] = i;
    pfree(order);
    return ranks;
  }

  uint32_t count() const { return count_; }
  void Free() {
    pfree(slots_);
    pfree(numbers_);
  }

 private:
  static constexpr uint32_t kFirstSlots = 1024;

  uint32_t Hash(uint64_t number) const {
    return static_cast<uint32_t>((number * 0x9e3779b97f4a7c15) >> 32) & mask_;
  }
  void Grow() {
    const uint32_t slot_count = (mask_ + 1) * 2;
    numbers_ = static_cast<uint64_t *>(repalloc_huge(numbers_, sizeof(uint64_t) * slot_count / 2));
    pfree(slots_);
    slots_ = AllocateArray<uint32_t>(slot_count);
    std::fill_n(slots_, slot_count, 0);
    mask_ = slot_count - 1;
    for (uint32_t i = 0; i < count_; i++) {
      uint32_t slot = Hash(numbers_[i]);
      while (slots_[slot] != 0) slot = (slot + 1) & mask_;
      slots_[slot] = i + 1;
    }
  }

  uint32_t *slots_;  // number + 1, 0 = free
  uint64_t *numbers_;
  uint32_t mask_;
  uint32_t count_ = 0;
  uint32_t last_ = 0;
};

/// Ranks by the order-preserving number `number_of` a row that is not NULL.
template <typename NumberOf>
uint32_t RankNumbers(const RowBuffer *buffer, const BufferColumn &column, uint32_t *ranks,
                     NumberOf &&number_of) {
  NumberRanks numbers;
  for (int64_t row = 0; row < buffer->row_count; row++)
    ranks[row] = column.IsNull(row) ? UINT32_MAX : numbers.Intern(number_of(row));
  uint32_t *rank_of = numbers.Ranks();
  const uint32_t null_rank = numbers.count();
  for (int64_t row = 0; row < buffer->row_count; row++)
    ranks[row] = ranks[row] == UINT32_MAX ? null_rank : rank_of[ranks[row]];
  pfree(rank_of);
  numbers.Free();
  return null_rank + 1;
}

bool BytesBefore(const ByteView &a, const ByteView &b) {
  return CompareSortKeys(a, b) < 0;
}

uint32_t RankCodes(const RowBuffer *buffer, const BufferColumn &column, uint32_t *ranks) {
  auto *order = AllocateArray<uint32_t>(column.entry_count);
  for (uint32_t i = 0; i < column.entry_count; i++) order[i] = i;
  std::sort(order, order + column.entry_count, [&](uint32_t a, uint32_t b) {
    return BytesBefore(column.entries[a], column.entries[b]);
  });
  auto *rank_of = AllocateArray<uint32_t>(column.entry_count);
  for (uint32_t i = 0; i < column.entry_count; i++) rank_of[order[i]] = i;
  for (int64_t row = 0; row < buffer->row_count; row++)
    ranks[row] = column.IsNull(row) ? column.entry_count : rank_of[column.Code(row)];
  pfree(order);
  pfree(rank_of);
  return column.entry_count + 1;
}

uint32_t RankPointers(const RowBuffer *buffer, const BufferColumn &column, uint32_t *ranks) {
  auto *order = AllocateArray<uint32_t>(buffer->row_count);
  uint32_t count = 0;
  for (int64_t row = 0; row < buffer->row_count; row++)
    if (!column.IsNull(row)) order[count++] = static_cast<uint32_t>(row);
  std::sort(order, order + count,
            [&](uint32_t a, uint32_t b) { return BytesBefore(column.Bytes(a), column.Bytes(b)); });
  uint32_t rank = 0;
  std::fill_n(ranks, buffer->row_count, UINT32_MAX);
  for (uint32_t i = 0; i < count; i++) {
    if (i > 0 && BytesBefore(column.Bytes(order[i - 1]), column.Bytes(order[i]))) rank++;
    ranks[order[i]] = rank;
  }
  for (int64_t row = 0; row < buffer->row_count; row++)
    if (ranks[row] == UINT32_MAX) ranks[row] = rank + 1;
  pfree(order);
  return rank + 2;
}

/// Fills the rank of every row by one column; returns how many ranks there are.
uint32_t RankColumn(const RowBuffer *buffer, const BufferColumn &column, uint32_t *ranks) {
  if (column.kind == CellKind::kCode) return RankCodes(buffer, column, ranks);
  if (column.kind == CellKind::kPointer) return RankPointers(buffer, column, ranks);
  switch (column.type.type) {
    case PhysicalType::kFloat64:
      return RankNumbers(buffer, column, ranks, [&](int64_t row) {
        return OrderedDouble(std::bit_cast<double>(column.Integer(row)));
      });
    case PhysicalType::kFloat32:
      return RankNumbers(buffer, column, ranks, [&](int64_t row) {
        return OrderedDouble(std::bit_cast<float>(static_cast<int32_t>(column.Integer(row))));
      });
    default:
      return RankNumbers(buffer, column, ranks,
                         [&](int64_t row) { return OrderedInteger(column.Integer(row)); });
  }
}

/// Makes the ranks of pairs (series, next) from the ranks of both.
uint32_t CombineRanks(int64_t row_count, uint32_t *series, const uint32_t *next,
                      uint32_t next_count) {
  NumberRanks pairs;
  for (int64_t row = 0; row < row_count; row++)
    series[row] = pairs.Intern(uint64_t{series[row]} * next_count + next[row]);
  uint32_t *rank_of = pairs.Ranks();
  for (int64_t row = 0; row < row_count; row++) series[row] = rank_of[series[row]];
  pfree(rank_of);
  const uint32_t count = pairs.count();
  pairs.Free();
  return count;
}

void NeedRowsCopy(RowSorter *sorter, uint32_t count) {
  if (sorter->rows_capacity >= count) return;
  if (sorter->rows_copy != nullptr) pfree(sorter->rows_copy);
  sorter->rows_copy = AllocateArray<uint32_t>(count);
  sorter->rows_capacity = count;
}

void NeedKeys(RowSorter *sorter, uint32_t count) {
  if (sorter->keys_capacity >= count) return;
  if (sorter->keys != nullptr) {
    pfree(sorter->keys);
    pfree(sorter->keys_copy);
  }
  sorter->keys = AllocateArray<uint64_t>(count);
  sorter->keys_copy = AllocateArray<uint64_t>(count);
  sorter->keys_capacity = count;
}

/// One stable counting pass by the series' digit at `shift`.
void SortByDigit(const uint32_t *series, int shift, const uint32_t *from, uint32_t *to,
                 uint32_t count) {
  uint32_t starts[kDigits] = {};
  for (uint32_t i = 0; i < count; i++) starts[(series[from[i]] >> shift) % kDigits]++;
  uint32_t sum = 0;
  for (uint32_t &start : starts) {
    const uint32_t size = start;
    start = sum;
    sum += size;
  }
  for (uint32_t i = 0; i < count; i++) to[starts[(series[from[i]] >> shift) % kDigits]++] = from[i];
}

void SortBySeries(RowSorter *sorter, uint32_t *rows, uint32_t count) {
  if (sorter->series == nullptr) return;
  bool sorted = true;
  for (uint32_t i = 1; i < count && sorted; i++)
    sorted = sorter->series[rows[i - 1]] <= sorter->series[rows[i]];
  if (sorted) return;
  NeedRowsCopy(sorter, count);
  uint32_t *from = rows, *to = sorter->rows_copy;
  const int bits = std::bit_width(sorter->series_count - 1);
  for (int shift = 0; shift < bits; shift += kDigitBits) {
    SortByDigit(sorter->series, shift, from, to, count);
    std::swap(from, to);
  }
  if (from != rows) memcpy(rows, from, sizeof(uint32_t) * count);
}

/// Sorts one series by time: counting passes over the bits in which the times differ.
void SortByTime(RowSorter *sorter, uint32_t *rows, uint32_t count) {
  const BufferColumn &times = sorter->buffer->columns[sorter->buffer->time_column];
  bool sorted = true;
  int64_t least = times.Integer(rows[0]), greatest = least, last = least;
  for (uint32_t i = 1; i < count; i++) {
    const int64_t time = times.Integer(rows[i]);
    sorted &= last <= time;
    least = std::min(least, time);
    greatest = std::max(greatest, time);
    last = time;
  }
  if (sorted) return;
  if (count <= kSmallRun) {
    // Row numbers ascend in the input: they make the order of equal times stable.
    std::sort(rows, rows + count, [&](uint32_t a, uint32_t b) {
      const int64_t a_time = times.Integer(a), b_time = times.Integer(b);
      return a_time != b_time ? a_time < b_time : a < b;
    });
    return;
  }
  NeedRowsCopy(sorter, count);
  NeedKeys(sorter, count);
  uint64_t *keys = sorter->keys, *keys_to = sorter->keys_copy;
  uint32_t *from = rows, *to = sorter->rows_copy;
  for (uint32_t i = 0; i < count; i++)
    keys[i] = static_cast<uint64_t>(times.Integer(rows[i])) - static_cast<uint64_t>(least);
  const int bits = std::bit_width(static_cast<uint64_t>(greatest) - static_cast<uint64_t>(least));
  for (int shift = 0; shift < bits; shift += kDigitBits) {
    uint32_t starts[kDigits] = {};
    for (uint32_t i = 0; i < count; i++) starts[(keys[i] >> shift) % kDigits]++;
    uint32_t sum = 0;
    for (uint32_t &start : starts) {
      const uint32_t size = start;
      start = sum;
      sum += size;
    }
    for (uint32_t i = 0; i < count; i++) {
      const uint32_t at = starts[(keys[i] >> shift) % kDigits]++;
      to[at] = from[i];
      keys_to[at] = keys[i];
    }
    std::swap(from, to);
    std::swap(keys, keys_to);
  }
  if (from != rows) memcpy(rows, from, sizeof(uint32_t) * count);
}

void SortByRanks(const RowSorter *sorter, uint32_t *rows, uint32_t count) {
  const auto before = [sorter](uint32_t a, uint32_t b) {
    for (int i = 0; i < sorter->order_count; i++) {
      const uint32_t a_rank = sorter->order[i][a], b_rank = sorter->order[i][b];
      if (a_rank != b_rank) return a_rank < b_rank;
    }
    return a < b;
  };
  if (!std::is_sorted(rows, rows + count, before)) std::sort(rows, rows + count, before);
}

}  // namespace

RowSorter *RowSorterCreate(const RowBuffer *buffer, const SortColumns &columns) {
  auto *sorter = static_cast<RowSorter *>(palloc0(sizeof(RowSorter)));
  sorter->buffer = buffer;
  sorter->series_count = 1;
  uint32_t *ranks = nullptr;
  for (int i = 0; i < columns.segment_by_count; i++) {
    if (!buffer->HasColumn(columns.segment_by[i])) continue;
    const BufferColumn &column = buffer->Column(columns.segment_by[i]);
    if (sorter->series == nullptr) {
      sorter->series = AllocateArray<uint32_t>(buffer->row_count);
      sorter->series_count = RankColumn(buffer, column, sorter->series);
      continue;
    }
    if (ranks == nullptr) ranks = AllocateArray<uint32_t>(buffer->row_count);
    const uint32_t rank_count = RankColumn(buffer, column, ranks);
    sorter->series_count = CombineRanks(buffer->row_count, sorter->series, ranks, rank_count);
  }
  if (ranks != nullptr) pfree(ranks);

  const bool only_time =
      columns.order_by_count == 0 ||
      (columns.order_by_count == 1 && columns.order_by[0] == buffer->TimeAttribute());
  sorter->by_time = only_time && buffer->time_column >= 0;
  for (int i = 0; i < columns.order_by_count && !only_time; i++) {
    if (!buffer->HasColumn(columns.order_by[i])) continue;
    auto *order = AllocateArray<uint32_t>(buffer->row_count);
    RankColumn(buffer, buffer->Column(columns.order_by[i]), order);
    sorter->order[sorter->order_count++] = order;
  }
  return sorter;
}

void SortRows(RowSorter *sorter, uint32_t *rows, uint32_t count) {
  SortBySeries(sorter, rows, count);
  if (!sorter->by_time && sorter->order_count == 0) return;
  for (uint32_t from = 0; from < count;) {
    uint32_t to = from + 1;
    if (sorter->series == nullptr)
      to = count;
    else
      while (to < count && sorter->series[rows[to]] == sorter->series[rows[from]]) to++;
    if (sorter->by_time)
      SortByTime(sorter, rows + from, to - from);
    else
      SortByRanks(sorter, rows + from, to - from);
    from = to;
  }
}

}  // namespace tsext::pg
