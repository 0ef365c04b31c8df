#include "pg/exec/last_segment.hpp"

#include <algorithm>
#include <cstring>

#include "pg/base/boundary.hpp"
#include "pg/exec/vector_filter_run.hpp"

extern "C" {
#include "access/htup_details.h"
#include "executor/executor.h"
#include "storage/bufmgr.h"
}

namespace tsext::pg {

namespace {

constexpr uint32_t kNoVector = UINT32_MAX;
constexpr uint32_t kNoCode = UINT32_MAX;
/// Integers of a segment that lie this close together get codes.
constexpr uint64_t kMostRange = 4096;
/// Before a vector is opened, so many series at most are gone through.
constexpr uint32_t kMostCodesOfVector = 1024;
/// Rows of a run, on average, from which on runs are worth while.
constexpr uint32_t kLeastRowsOfRun = 16;

const SegmentHead &Head(const SegmentSearch *search) {
  return SegmentReaderHead(search->reader);
}

bool IsNewest(const SegmentSearch *search) {
  return search->query->order == LastOrder::kNewest;
}

// ---- The keys of the current segment ----

void SetConstant(KeyColumn *column, Datum value, bool is_null) {
  column->coding = KeyCoding::kConstant;
  column->is_null = is_null;
  if (is_null) return;
  if (IsBytes(column->type.type)) {
    void *copy;
    column->bytes = DatumToBytes(value, column->type, &copy);
  } else {
    column->integer = DatumToInteger(value, column->type);
  }
}

void SetCodingOfBytes(SegmentSearch *search, KeyColumn *column) {
  const auto dictionary = SegmentReaderDictionary(search->reader, column->attribute);
  if (dictionary.empty()) return;
  if (dictionary.size() == 1 && !column->has_nulls) {
    column->coding = KeyCoding::kConstant;
    column->bytes = dictionary[0];
    return;
  }
  column->coding = KeyCoding::kDictionary;
  column->code_count = static_cast<uint32_t>(dictionary.size()) + (column->has_nulls ? 1 : 0);
}

void SetCodingOfIntegers(KeyColumn *column, const ColumnFooter &footer) {
  if (!footer.min.valid || !footer.max.valid) return;
  const uint64_t range =
      static_cast<uint64_t>(footer.max.integer) - static_cast<uint64_t>(footer.min.integer);
  if (range >= kMostRange) return;
  column->integer = footer.min.integer;
  if (range == 0 && !column->has_nulls) {
    column->coding = KeyCoding::kConstant;
    return;
  }
  column->coding = KeyCoding::kRange;
  column->code_count = static_cast<uint32_t>(range) + 1 + (column->has_nulls ? 1 : 0);
}

void SetCoding(SegmentSearch *search, KeyColumn *column) {
  const SegmentHead &head = Head(search);
  column->coding = KeyCoding::kPlain;
  column->code_count = 0;
  column->is_null = false;
  column->codes = nullptr;
  column->values = nullptr;
  const int index = head.FindColumn(column->attribute);
  if (index < 0) {
    bool is_null;
    const Datum missing =
        getmissingattr(RelationGetDescr(search->query->relation), column->attribute, &is_null);
    SetConstant(column, missing, is_null);
    return;
  }
  const ColumnFooter &footer = head.columns()[static_cast<size_t>(index)];
  column->has_nulls = footer.null_count > 0;
  if (footer.null_count == head.row_count())
    SetConstant(column, 0, true);
  else if (IsBytes(column->type.type))
    SetCodingOfBytes(search, column);
  else
    SetCodingOfIntegers(column, footer);
}

/// Finds out whether one code tells which series a row of the segment belongs to.
void SetUpCodes(SegmentSearch *search) {
  KeyColumn *varying = nullptr;
  int count = 0;
  for (int i = 0; i < search->query->key_count; i++) {
    if (search->columns[i].coding == KeyCoding::kConstant) continue;
    varying = &search->columns[i];
    count++;
  }
  search->coded = count == 1 && varying->code_count > 0 ? varying : nullptr;
  search->code_count = count == 0 ? 1 : search->coded != nullptr ? search->coded->code_count : 0;
  if (search->code_count > search->code_capacity) {
    if (search->number_of_code != nullptr) pfree(search->number_of_code);
    search->number_of_code = nullptr;
    search->code_capacity = std::max(search->code_count, 2 * search->code_capacity);
    search->number_of_code = static_cast<uint32_t *>(
        MemoryContextAllocHuge(search->memory, sizeof(uint32_t) * size_t{search->code_capacity}));
  }
  std::fill_n(search->number_of_code, search->code_count, SeriesTable::kUnknown);
}

/// Cuts the segment into stretches of one series when all varying keys are stored as runs, few
/// enough of them.
void SetUpRuns(SegmentSearch *search) {
  search->run_count = 0;
  size_t count = 1;
  for (int i = 0; i < search->query->key_count; i++) {
    const KeyColumn &column = search->columns[i];
    if (column.coding == KeyCoding::kConstant) continue;
    const auto runs = SegmentReaderRuns(search->reader, column.attribute);
    if (runs.empty()) return;
    count += runs.size();
  }
  const uint32_t rows = Head(search).row_count();
  if (count > std::max<size_t>(rows / kLeastRowsOfRun, 2)) return;
  if (count > search->run_capacity) {
    if (search->runs != nullptr) pfree(search->runs);
    search->runs = nullptr;
    search->run_capacity = static_cast<uint32_t>(2 * count);
    search->runs = static_cast<SeriesRun *>(
        MemoryContextAlloc(search->memory, sizeof(SeriesRun) * search->run_capacity));
  }
  uint32_t used = 0;
  search->runs[used++].begin = 0;
  for (int i = 0; i < search->query->key_count; i++) {
    const KeyColumn &column = search->columns[i];
    if (column.coding == KeyCoding::kConstant) continue;
    for (const ValueRun &run : SegmentReaderRuns(search->reader, column.attribute))
      if (run.begin > 0) search->runs[used++].begin = run.begin;
  }
  const auto before = [](const SeriesRun &a, const SeriesRun &b) { return a.begin < b.begin; };
  const auto same = [](const SeriesRun &a, const SeriesRun &b) { return a.begin == b.begin; };
  std::sort(search->runs, search->runs + used, before);
  used = static_cast<uint32_t>(std::unique(search->runs, search->runs + used, same) - search->runs);
  for (uint32_t i = 0; i < used; i++) {
    search->runs[i].end = i + 1 < used ? search->runs[i + 1].begin : rows;
    search->runs[i].number = SeriesTable::kUnknown;
  }
  search->run_count = used;
}

void LoadKeys(SegmentSearch *search, uint32_t vector) {
  if (search->loaded_vector == vector) return;
  search->loaded_vector = kNoVector;
  for (int i = 0; i < search->query->key_count; i++) {
    KeyColumn *column = &search->columns[i];
    if (column->coding == KeyCoding::kDictionary)
      column->codes = SegmentReaderCodes(search->reader, column->attribute, vector);
    else if (column->coding != KeyCoding::kConstant)
      column->values = SegmentReaderVector(search->reader, column->attribute, vector);
  }
  search->loaded_vector = vector;
}

/// The code of a row of the loaded vector; kNoCode when a value is outside of what the footer says.
uint32_t CodeOf(const KeyColumn &column, uint32_t at) {
  const bool is_null = column.coding == KeyCoding::kDictionary ? column.codes->IsNull(at)
                                                               : column.values->IsNull(at);
  if (is_null) return column.has_nulls ? column.code_count - 1 : kNoCode;
  if (column.coding == KeyCoding::kDictionary) return column.codes->codes[at];
  const uint64_t code =
      static_cast<uint64_t>(column.values->integers[at]) - static_cast<uint64_t>(column.integer);
  return code < column.code_count - (column.has_nulls ? 1 : 0) ? static_cast<uint32_t>(code)
                                                               : kNoCode;
}

void AddConstantToKey(SeriesKey *key, const KeyColumn &column) {
  if (column.is_null)
    key->AddNull();
  else if (IsBytes(column.type.type))
    key->AddBytes(column.bytes);
  else
    key->AddInteger(column.integer);
}

ByteView WordOf(SegmentSearch *search, const KeyColumn &column, uint32_t code) {
  return SegmentReaderDictionary(search->reader, column.attribute)[code];
}

/// Puts the key of a row of the loaded vector together.
void BuildKeyOfRow(SegmentSearch *search, uint32_t at) {
  SeriesKey *key = search->key;
  key->Clear();
  for (int i = 0; i < search->query->key_count; i++) {
    const KeyColumn &column = search->columns[i];
    if (column.coding == KeyCoding::kConstant) {
      AddConstantToKey(key, column);
    } else if (column.coding == KeyCoding::kDictionary) {
      if (column.codes->IsNull(at))
        key->AddNull();
      else
        key->AddBytes(WordOf(search, column, column.codes->codes[at]));
    } else if (column.values->IsNull(at)) {
      key->AddNull();
    } else if (IsBytes(column.type.type)) {
      key->AddBytes(column.values->bytes[at]);
    } else {
      key->AddInteger(column.values->integers[at]);
    }
  }
}

/// Puts the key that a code stands for together.
void BuildKeyOfCode(SegmentSearch *search, uint32_t code) {
  SeriesKey *key = search->key;
  key->Clear();
  for (int i = 0; i < search->query->key_count; i++) {
    const KeyColumn &column = search->columns[i];
    if (&column != search->coded)
      AddConstantToKey(key, column);
    else if (column.has_nulls && code == column.code_count - 1)
      key->AddNull();
    else if (column.coding == KeyCoding::kRange)
      key->AddInteger(column.integer + code);
    else
      key->AddBytes(WordOf(search, column, code));
  }
}

/// Puts the key of a run together.
void BuildKeyOfRun(SegmentSearch *search, uint32_t run) {
  SeriesKey *key = search->key;
  key->Clear();
  const uint32_t row = search->runs[run].begin;
  for (int i = 0; i < search->query->key_count; i++) {
    const KeyColumn &column = search->columns[i];
    if (column.coding == KeyCoding::kConstant) {
      AddConstantToKey(key, column);
      continue;
    }
    const auto runs = SegmentReaderRuns(search->reader, column.attribute);
    const auto next =
        std::upper_bound(runs.begin(), runs.end(), row,
                         [](uint32_t at, const ValueRun &other) { return at < other.begin; });
    const int64_t value = (next - 1)->value;
    if (IsBytes(column.type.type))
      key->AddBytes(WordOf(search, column, static_cast<uint32_t>(value)));
    else
      key->AddInteger(value);
  }
}

uint32_t NumberOfRun(SegmentSearch *search, uint32_t run) {
  if (search->runs[run].number == SeriesTable::kUnknown) {
    BuildKeyOfRun(search, run);
    const uint32_t number = FindSeries(search);
    search->runs[run].number = number;
  }
  return search->runs[run].number;
}

bool AreSame(const KeyColumn &column, uint32_t a, uint32_t b) {
  if (column.coding == KeyCoding::kConstant) return true;
  if (column.coding == KeyCoding::kDictionary)
    return column.codes->codes[a] == column.codes->codes[b] &&
           column.codes->IsNull(a) == column.codes->IsNull(b);
  const Vector &values = *column.values;
  if (values.IsNull(a) || values.IsNull(b)) return values.IsNull(a) == values.IsNull(b);
  if (!IsBytes(column.type.type)) return values.integers[a] == values.integers[b];
  const ByteView &left = values.bytes[a];
  const ByteView &right = values.bytes[b];
  return left.size == right.size &&
         (left.data == right.data || memcmp(left.data, right.data, left.size) == 0);
}

/// Whether two rows of the loaded vector belong to one series.
bool AreOfOneSeries(const SegmentSearch *search, uint32_t a, uint32_t b) {
  for (int i = 0; i < search->query->key_count; i++)
    if (!AreSame(search->columns[i], a, b)) return false;
  return true;
}

/// The number of the series of a row of the loaded vector.
uint32_t NumberOfRow(SegmentSearch *search, uint32_t at) {
  uint32_t code = kNoCode;
  if (search->code_count > 0) code = search->coded == nullptr ? 0 : CodeOf(*search->coded, at);
  if (code != kNoCode && search->number_of_code[code] != SeriesTable::kUnknown)
    return search->number_of_code[code];
  BuildKeyOfRow(search, at);
  const uint32_t number = FindSeries(search);
  if (code != kNoCode) search->number_of_code[code] = number;
  return number;
}

// ---- What need not be looked at ----

bool IsDone(const SegmentSearch *search, uint32_t number, int64_t rank) {
  return number == SeriesTable::kOtherPass || search->series->best(number).IsAsGoodAs(rank);
}

/// Whether every series that the segment may have has been found with this rank or better. Words of
/// the dictionary that no row has any more keep it from being so, where there are no runs.
bool AreAllDone(SegmentSearch *search, int64_t rank) {
  const auto is_done = [&](uint32_t *number) {
    if (*number == SeriesTable::kUnknown) *number = search->series->Lookup(search->key->view());
    return *number != SeriesTable::kUnknown && IsDone(search, *number, rank);
  };
  for (uint32_t run = 0; run < search->run_count; run++) {
    if (search->runs[run].number == SeriesTable::kUnknown) BuildKeyOfRun(search, run);
    if (!is_done(&search->runs[run].number)) return false;
  }
  if (search->run_count > 0) return true;
  for (uint32_t code = 0; code < search->code_count; code++) {
    if (search->number_of_code[code] == SeriesTable::kUnknown) BuildKeyOfCode(search, code);
    if (!is_done(&search->number_of_code[code])) return false;
  }
  return search->code_count > 0;
}

/// The best rank that a row of the vector can have.
int64_t BestRankOf(const SegmentSearch *search, uint32_t vector) {
  if (search->time_column < 0) return INT64_MAX;
  const VectorFooter footer =
      Head(search).Vector(static_cast<uint32_t>(search->time_column), vector);
  if (!footer.has_range) return INT64_MAX;
  return RankOf(search->query->order, IsNewest(search) ? footer.max_integer : footer.min_integer);
}

bool IsOutOfTime(const SegmentSearch *search, uint32_t vector) {
  if (search->time_column < 0) return false;
  const VectorFooter footer =
      Head(search).Vector(static_cast<uint32_t>(search->time_column), vector);
  return footer.has_range && (footer.max_integer < search->from || footer.min_integer > search->to);
}

/// Whether rows first .. last of a vector all have one value, bit by bit, or all have NULL.
bool IsUniform(SegmentSearch *search, AttrNumber attribute, uint32_t vector, uint32_t first,
               uint32_t last) {
  const auto all = [&](const auto &is_like_first) {
    for (uint32_t i = last; i > first; i--)
      if (!is_like_first(i)) return false;
    return true;
  };
  if (const CodeVector *codes = SegmentReaderCodes(search->reader, attribute, vector)) {
    return all([&](uint32_t i) {
      return codes->codes[i] == codes->codes[first] && codes->IsNull(i) == codes->IsNull(first);
    });
  }
  const Vector *values = SegmentReaderVector(search->reader, attribute, vector);
  if (values == nullptr) return true;
  return all([&](uint32_t i) {
    if (values->IsNull(i) || values->IsNull(first))
      return values->IsNull(i) == values->IsNull(first);
    if (values->type == PhysicalType::kFloat32)
      return memcmp(&values->floats[i], &values->floats[first], sizeof(float)) == 0;
    return !IsBytes(values->type) && values->integers[i] == values->integers[first];
  });
}

/// Whether one of rows first .. last of a vector that fails row_quals tells that all do.
bool FailTogether(SegmentSearch *search, uint32_t vector, uint32_t first, uint32_t last) {
  if (search->query->row_quals == nullptr || search->query->reads_tids) return false;
  for (int at = -1; (at = bms_next_member(search->query->quals_read, at)) >= 0;) {
    if (!IsUniform(search, static_cast<AttrNumber>(at), vector, first, last)) return false;
  }
  return true;
}

// ---- The rows of a vector ----

enum class Trial : uint8_t { kKept, kFailed, kNoBetter };

/// Whether the time of a row lies in the range that the conditions leave.
bool IsTimely(const SegmentSearch *search, const Vector *times, uint32_t at) {
  return times == nullptr || times->IsNull(at) ||
         (times->integers[at] >= search->from && times->integers[at] <= search->to);
}

/// Tries row `at` of a vector as the best of its series. times: of the vector, nullptr when the
/// segment lacks the column.
Trial TryRow(SegmentSearch *search, uint32_t number, uint32_t vector, uint32_t at,
             const Vector *times) {
  const LastQuery *query = search->query;
  BestRow row;
  row.segment = search->current;
  row.row = vector * kVectorSize + at;
  if (times == nullptr || times->IsNull(at)) {
    row.kind =
        query->nulls == LastNulls::kFirst ? BestRow::Kind::kNullFirst : BestRow::Kind::kNullLast;
  } else {
    row.kind = BestRow::Kind::kTimed;
    row.rank = RankOf(query->order, times->integers[at]);
    if (!IsTimely(search, times, at)) return Trial::kFailed;
  }
  const BestRow &best = search->series->best(number);
  if (!IsBetter(row, best)) return Trial::kNoBetter;

  // Rows that were deleted would be passed by here; nothing deletes rows of segments yet.
  const bool tests_key = query->key_quals != nullptr && !best.is_wanted;
  if (tests_key || query->row_quals != nullptr) {
    ResetExprContext(search->context);
    MemoryContext old = MemoryContextSwitchTo(search->context->ecxt_per_tuple_memory);
    ExecClearTuple(search->slot);
    FillColdRow(search, search->current, static_cast<uint32_t>(row.row),
                tests_key ? query->all_quals_read : query->quals_read, search->slot);
    MemoryContextSwitchTo(old);
    if (!PassesQuals(search, number, search->context, search->slot)) return Trial::kFailed;
  }
  KeepRow(search, number, row);
  return Trial::kKept;
}

/// The row where the run of row `at` ends in the loaded vector of a sorted segment, towards `edge`.
uint32_t EndOfRun(const SegmentSearch *search, uint32_t at, uint32_t edge) {
  if (AreOfOneSeries(search, at, edge)) return edge;
  uint32_t inside = at;
  uint32_t outside = edge;
  while (inside + 1 != outside && outside + 1 != inside) {
    const uint32_t middle = (inside + outside) / 2;
    (AreOfOneSeries(search, at, middle) ? inside : outside) = middle;
  }
  return inside;
}

/// Looks at rows first .. last of a vector, all of one series, the likeliest first. False when
/// nothing behind them in the run can matter.
bool WalkPart(SegmentSearch *search, uint32_t number, uint32_t vector, uint32_t first,
              uint32_t last) {
  const Vector *times = SegmentReaderVector(search->reader, search->query->time_attribute, vector);
  const uint32_t end = IsNewest(search) ? first : last;
  const uint32_t step = IsNewest(search) ? UINT32_MAX : 1;
  bool has_failed = false;
  for (uint32_t at = IsNewest(search) ? last : first;; at += step) {
    if (TryRow(search, number, vector, at, times) != Trial::kFailed) {
      if (search->times_rise) return false;
    } else if (search->series->best(number).kind == BestRow::Kind::kUnwanted) {
      return false;
    } else if (!has_failed && IsTimely(search, times, at)) {
      if (FailTogether(search, vector, std::min(at, end), std::max(at, end))) return true;
      has_failed = true;
    }
    if (at == end) return true;
  }
}

/// Goes along the loaded vector of a sorted segment, run by run.
void WalkSorted(SegmentSearch *search) {
  const uint32_t vector = search->loaded_vector;
  const uint32_t rows = Head(search).VectorRows(vector);
  const int64_t rank = BestRankOf(search, vector);
  const uint32_t edge = IsNewest(search) ? 0 : rows - 1;
  const uint32_t step = IsNewest(search) ? UINT32_MAX : 1;
  for (uint32_t at = IsNewest(search) ? rows - 1 : 0;; at += step) {
    const uint32_t number = NumberOfRow(search, at);
    const uint32_t end = EndOfRun(search, at, edge);
    if (!IsDone(search, number, rank))
      WalkPart(search, number, vector, std::min(at, end), std::max(at, end));
    at = end;
    if (at == edge) break;
  }
}

/// Goes over the loaded vector row by row.
void WalkRows(SegmentSearch *search) {
  const uint32_t vector = search->loaded_vector;
  const uint32_t rows = Head(search).VectorRows(vector);
  const int64_t rank = BestRankOf(search, vector);
  const Vector *times = nullptr;
  uint32_t number = SeriesTable::kUnknown;
  uint32_t generation = 0;
  uint32_t before = 0;
  bool has_failed = false;
  for (uint32_t i = 0; i < rows; i++) {
    const uint32_t at = IsNewest(search) ? rows - 1 - i : i;
    if (i == 0 || generation != search->generation || !AreOfOneSeries(search, at, before))
      number = NumberOfRow(search, at);
    generation = search->generation;
    before = at;
    if (IsDone(search, number, rank)) continue;
    if (times == nullptr)
      times = SegmentReaderVector(search->reader, search->query->time_attribute, vector);
    if (TryRow(search, number, vector, at, times) != Trial::kFailed || has_failed) continue;
    // What makes a row fail may also be its time, or its series' key.
    if (!IsTimely(search, times, at) ||
        search->series->best(number).kind == BestRow::Kind::kUnwanted)
      continue;
    if (FailTogether(search, vector, 0, rows - 1)) break;
    has_failed = true;
  }
}

// ---- Segments ----

bool IsKey(const SegmentSearch *search, int16_t attribute) {
  for (int i = 0; i < search->query->key_count; i++)
    if (search->columns[i].attribute == attribute) return true;
  return false;
}

/// Whether times rise within rows of one series that lie together.
bool DoTimesRise(const SegmentSearch *search) {
  if (search->time_column < 0) return false;
  const auto sort_key = Head(search).sort_key();
  const auto time = std::find(sort_key.begin(), sort_key.end(), search->query->time_attribute);
  if (time == sort_key.end()) return false;
  return std::all_of(sort_key.begin(), time,
                     [&](int16_t attribute) { return IsKey(search, attribute); });
}

/// Whether all rows of a series lie together in the current segment, their times rising.
bool IsSorted(const SegmentSearch *search) {
  if (!search->times_rise) return false;
  const auto sort_key = Head(search).sort_key();
  const auto time = std::find(sort_key.begin(), sort_key.end(), search->query->time_attribute);
  for (int i = 0; i < search->query->key_count; i++) {
    const KeyColumn &column = search->columns[i];
    if (column.coding != KeyCoding::kConstant &&
        std::find(sort_key.begin(), time, column.attribute) == time)
      return false;
  }
  return true;
}

void OpenCandidate(SegmentSearch *search, int32_t index) {
  SegmentReaderOpen(search->reader, search->candidates[index].segment);
  search->current = index;
  search->loaded_vector = kNoVector;
  const SegmentHead &head = Head(search);
  search->time_column = head.time_attribute() == search->query->time_attribute
                            ? head.FindColumn(head.time_attribute())
                            : -1;
  for (int i = 0; i < search->query->key_count; i++) SetCoding(search, &search->columns[i]);
  SetUpCodes(search);
  SetUpRuns(search);
  search->times_rise = DoTimesRise(search);
  search->vector_read = kNoVector;
}

/// Whether a vector may have a row that passes the conditions.
bool IsWorthReading(SegmentSearch *search, uint32_t vector) {
  if (IsOutOfTime(search, vector)) return false;
  VectorFilters *filters = search->query->filters;
  return filters == nullptr || JudgeVector(filters, Head(search), vector) != Verdict::kNone;
}

void CountVector(SegmentSearch *search, uint32_t vector) {
  if (vector != search->vector_read) search->counters.vectors_read++;
  search->vector_read = vector;
}

/// Goes along a run of one series, over vectors begin .. end - 1 at most.
void WalkRun(SegmentSearch *search, const SeriesRun &run, uint32_t begin, uint32_t end) {
  begin = std::max(begin, run.begin / kVectorSize);
  end = std::min(end, (run.end - 1) / kVectorSize + 1);
  for (uint32_t i = begin; i < end; i++) {
    const uint32_t vector = IsNewest(search) ? end - 1 - (i - begin) : i;
    CHECK_FOR_INTERRUPTS();
    if (IsDone(search, run.number, BestRankOf(search, vector)) || !IsWorthReading(search, vector))
      continue;
    CountVector(search, vector);
    const uint32_t row = vector * kVectorSize;
    if (!WalkPart(search, run.number, vector, std::max(run.begin, row) - row,
                  std::min(run.end, row + kVectorSize) - row - 1))
      return;
  }
}

/// Goes over vectors begin .. end - 1.
void WalkVectors(SegmentSearch *search, uint32_t begin, uint32_t end) {
  const bool is_sorted = IsSorted(search);
  for (uint32_t i = begin; i < end; i++) {
    const uint32_t vector = IsNewest(search) ? end - 1 - (i - begin) : i;
    CHECK_FOR_INTERRUPTS();
    if (search->code_count <= kMostCodesOfVector && AreAllDone(search, BestRankOf(search, vector)))
      continue;
    if (!IsWorthReading(search, vector)) continue;
    CountVector(search, vector);
    LoadKeys(search, vector);
    if (is_sorted)
      WalkSorted(search);
    else
      WalkRows(search);
  }
}

void WalkSegment(SegmentSearch *search) {
  uint32_t begin = 0;
  uint32_t end = Head(search).vector_count();
  if (search->query->filters != nullptr)
    FindKeyVectors(search->query->filters, search->reader, &begin, &end);
  if (search->run_count == 0) return WalkVectors(search, begin, end);
  for (uint32_t i = 0; i < search->run_count; i++) {
    const uint32_t run = IsNewest(search) ? search->run_count - 1 - i : i;
    const bool is_outside = search->runs[run].end <= begin * kVectorSize ||
                            search->runs[run].begin >= end * kVectorSize;
    if (!is_outside && NumberOfRun(search, run) != SeriesTable::kOtherPass)
      WalkRun(search, search->runs[run], begin, end);
  }
}

bool MayPass(const SegmentSearch *search) {
  VectorFilters *filters = search->query->filters;
  return filters == nullptr || JudgeSegment(filters, Head(search)) != Verdict::kNone;
}

}  // namespace

void SetUpSegmentSearch(SegmentSearch *search, const LastQuery *query, Snapshot snapshot,
                        size_t memory_bytes, MemoryContext context) {
  search->query = query;
  search->snapshot = snapshot;
  search->memory_bytes = memory_bytes;
  search->memory = context;
  auto *resource = new (palloc(sizeof(ContextResource))) ContextResource(context);
  search->series = New<SeriesTable>(context, resource);
  search->key = New<SeriesKey>(context, resource);
  search->columns =
      static_cast<KeyColumn *>(palloc0(sizeof(KeyColumn) * static_cast<size_t>(query->key_count)));
  for (int i = 0; i < query->key_count; i++) {
    search->columns[i].attribute = query->keys[i];
    search->columns[i].type =
        ClassOf(TupleDescAttr(RelationGetDescr(query->relation), query->keys[i] - 1));
  }
}

void CloseSegmentSearch(SegmentSearch *search) {
  if (search->reader != nullptr) SegmentReaderClose(search->reader);
  search->reader = nullptr;
}

bool StartConditions(SegmentSearch *search) {
  const LastQuery *query = search->query;
  search->from = kTimeMinimum;
  search->to = kTimeMaximum;
  return query->filters == nullptr || StartFilters(query->filters, query->time_attribute,
                                                   query->time_type, &search->from, &search->to);
}

void LoadNewestFirst(SegmentSearch *search) {
  int count;
  const SegmentRow *rows = LoadSegments(search->query->relation->rd_rel->reltoastrelid,
                                        search->from, search->to, search->snapshot, &count);
  search->candidate_count = count;
  if (count == 0) return;
  search->candidates = static_cast<Candidate *>(
      MemoryContextAllocHuge(CurrentMemoryContext, sizeof(Candidate) * static_cast<size_t>(count)));
  int64_t bytes = 0;
  for (int i = 0; i < count; i++) {
    const int64_t best = IsNewest(search) ? rows[i].tmax : rows[i].tmin;
    search->candidates[i] = {&rows[i], RankOf(search->query->order, best)};
    bytes += rows[i].nbytes;
  }
  std::sort(search->candidates, search->candidates + count,
            [](const Candidate &a, const Candidate &b) {
              return a.rank != b.rank ? a.rank > b.rank : a.segment->seg < b.segment->seg;
            });
  if (search->reader != nullptr) return;
  search->reader = SegmentReaderCreate(search->query->relation, search->snapshot, search->memory);
  if (bytes / BLCKSZ > NBuffers / 4) SegmentReaderUseRing(search->reader);
}

void SearchSegments(SegmentSearch *search) {
  for (int32_t i = 0; i < search->candidate_count; i++) {
    CHECK_FOR_INTERRUPTS();
    OpenCandidate(search, i);
    search->counters.segments++;
    search->counters.vectors += Head(search).vector_count();
    const int64_t rank = search->time_column >= 0 ? search->candidates[i].rank : INT64_MAX;
    if (AreAllDone(search, rank) || !MayPass(search)) {
      search->counters.segments_skipped++;
      continue;
    }
    WalkSegment(search);
  }
}

uint32_t FindSeries(SegmentSearch *search) {
  const ByteView key = search->key->view();
  uint32_t number = search->series->Find(key);
  while (number != SeriesTable::kOtherPass &&
         search->series->memory_bytes() > search->memory_bytes && search->series->Halve()) {
    number = search->series->Lookup(key);
    std::fill_n(search->number_of_code, search->code_count, SeriesTable::kUnknown);
    for (uint32_t i = 0; i < search->run_count; i++) search->runs[i].number = SeriesTable::kUnknown;
    search->generation++;
  }
  return number;
}

bool PassesQuals(SegmentSearch *search, uint32_t number, ExprContext *context,
                 TupleTableSlot *slot) {
  const LastQuery *query = search->query;
  context->ecxt_scantuple = slot;
  BestRow &best = search->series->best(number);
  if (query->key_quals != nullptr && !best.is_wanted) {
    best.is_wanted = ExecQual(query->key_quals, context);
    if (!best.is_wanted) {
      best.kind = BestRow::Kind::kUnwanted;
      return false;
    }
  }
  if (query->row_quals == nullptr) return true;
  search->counters.rows_tested++;
  if (ExecQual(query->row_quals, context)) return true;
  search->counters.rows_filtered++;
  return false;
}

void KeepRow(SegmentSearch *search, uint32_t number, BestRow row) {
  BestRow &best = search->series->best(number);
  row.is_wanted = best.is_wanted;
  best = row;
}

SegmentReader *OpenForFetch(SegmentSearch *search, int32_t candidate) {
  SegmentReaderOpen(search->reader, search->candidates[candidate].segment);
  return search->reader;
}

void StoreColdRow(const SegmentSearch *search, int32_t candidate, uint32_t row,
                  TupleTableSlot *slot) {
  const auto seg = static_cast<uint32_t>(search->candidates[candidate].segment->seg);
  ExecStoreVirtualTuple(slot);
  ItemPointerSet(&slot->tts_tid, kVirtualBlock | seg, static_cast<OffsetNumber>(row + 1));
  slot->tts_tableOid = RelationGetRelid(search->query->relation);
}

void FillColdRow(SegmentSearch *search, int32_t candidate, uint32_t row,
                 const Bitmapset *attributes, TupleTableSlot *slot) {
  OpenForFetch(search, candidate);
  memset(slot->tts_isnull, true, static_cast<size_t>(slot->tts_tupleDescriptor->natts));
  for (int at = -1; (at = bms_next_member(attributes, at)) >= 0;)
    slot->tts_values[at - 1] = SegmentReaderValue(search->reader, static_cast<AttrNumber>(at), row,
                                                  &slot->tts_isnull[at - 1]);
  StoreColdRow(search, candidate, row, slot);
}

}  // namespace tsext::pg
