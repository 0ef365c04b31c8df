// Vector filters at work: the rows of a batch.

#include <algorithm>
#include <cstring>

#include "tsext/slice.hpp"

#include "pg/exec/vector_filter_run.hpp"
#include "pg/exec/vector_filter_state.hpp"

extern "C" {
#include "executor/executor.h"
}

namespace tsext::pg {

namespace {

bool IsAmong(const Filter *filter, ByteView value) {
  const ByteView *end = filter->byte_values + filter->value_count;
  const ByteView *at =
      std::lower_bound(static_cast<const ByteView *>(filter->byte_values), end, value,
                       [](ByteView a, ByteView b) { return CompareBytes(a, b) < 0; });
  return at != end && CompareBytes(*at, value) == 0;
}

/// kBytes and kBytesIn on one value.
bool BytesPass(const Filter *filter, ByteView value) {
  if (filter->now == FilterKind::kBytesIn) return IsAmong(filter, value) != filter->is_negated;
  const int order = CompareBytes(value, filter->bytes);
  switch (filter->comparison_now) {
    case Comparison::kEqual:
      return order == 0;
    case Comparison::kNotEqual:
      return order != 0;
    case Comparison::kLess:
      return order < 0;
    case Comparison::kLessEqual:
      return order <= 0;
    case Comparison::kGreater:
      return order > 0;
    case Comparison::kGreaterEqual:
      return order >= 0;
  }
  return false;
}

/// Makes `passes` fit the dictionary; true when what it holds is of this segment.
bool PreparePasses(VectorFilters *filters, Filter *filter, size_t count) {
  if (filter->passes_segment == filters->segment_count) return true;
  if (filter->passes_capacity < count) {
    if (filter->passes != nullptr) pfree(filter->passes);
    filter->passes = static_cast<uint8_t *>(MemoryContextAlloc(filters->context, count));
    filter->passes_capacity = count;
  }
  filter->passes_segment = filters->segment_count;
  return false;
}

// ---- Comparisons of bytes ----

/// Every value of the dictionary is compared at once. False: none passes.
bool SelectCodes(VectorFilters *filters, Filter *filter, BatchScan *scan, const CodeVector &codes,
                 Selection *selection) {
  const std::span<const ByteView> dictionary = BatchDictionary(scan, filter->attribute);
  if (!PreparePasses(filters, filter, dictionary.size())) {
    filter->unknown_count = 0;
    for (size_t i = 0; i < dictionary.size(); i++) {
      filter->passes[i] = BytesPass(filter, dictionary[i]) ? kPasses : kFails;
      filter->unknown_count += filter->passes[i];
    }
  }
  if (filter->unknown_count == 0) {  // of those that pass
    selection->Clear();
    return false;
  }
  Selection out;
  FilterCodes(codes, {filter->passes, dictionary.size()}, out);
  selection->And(out);
  return true;
}

void SelectBytes(const Filter *filter, const Vector &vector, Selection *selection) {
  if (filter->now == FilterKind::kBytes) {
    Selection out;
    FilterBytes(vector, filter->comparison_now, filter->bytes, out);
    selection->And(out);
    return;
  }
  Selection failed;
  failed.Clear();
  selection->ForEach([&](uint32_t row) {
    if (vector.IsNull(row) || !BytesPass(filter, vector.bytes[row])) failed.Select(row);
  });
  selection->AndNot(failed);
}

// ---- Expressions ----

bool Evaluate(VectorFilters *filters, const Filter *filter, ByteView value, bool is_null) {
  ExprContext *context = filters->expression_context;
  const int at = filter->attribute - 1;
  MemoryContext old = MemoryContextSwitchTo(context->ecxt_per_tuple_memory);
  filters->slot->tts_isnull[at] = is_null;
  filters->slot->tts_values[at] = is_null ? 0 : BytesToDatum(value, filter->type);
  MemoryContextSwitchTo(old);
  const bool passes = ExecQual(filter->predicate, context);
  filters->slot->tts_isnull[at] = true;
  ResetExprContext(context);
  return passes;
}

/// Values are looked at when a row that is still wanted has them, never before: others may be of
/// rows that nobody may see, or make the expression fail.
void SelectByExpression(VectorFilters *filters, Filter *filter, BatchScan *scan,
                        Selection *selection) {
  const CodeVector *codes = BatchCodes(scan, filter->attribute);
  Selection failed;
  failed.Clear();
  if (codes == nullptr) {
    const Vector &vector = *BatchColumn(scan, filter->attribute);
    selection->ForEach([&](uint32_t row) {
      const bool is_null = vector.IsNull(row);
      if (!Evaluate(filters, filter, is_null ? ByteView{} : vector.bytes[row], is_null))
        failed.Select(row);
    });
    selection->AndNot(failed);
    return;
  }
  const std::span<const ByteView> dictionary = BatchDictionary(scan, filter->attribute);
  if (!PreparePasses(filters, filter, dictionary.size())) {
    memset(filter->passes, kUnknown, dictionary.size());
    filter->unknown_count = static_cast<uint32_t>(dictionary.size());
    filter->null_passes = kUnknown;
  }
  if (filter->unknown_count == 0 && !codes->any_null) {
    FilterCodes(*codes, {filter->passes, dictionary.size()}, failed);
    selection->And(failed);
    return;
  }
  selection->ForEach([&](uint32_t row) {
    const bool is_null = codes->IsNull(row);
    const uint32_t code = codes->codes[row];
    uint8_t &known = is_null ? filter->null_passes : filter->passes[code];
    if (known == kUnknown) {
      known = Evaluate(filters, filter, is_null ? ByteView{} : dictionary[code], is_null) ? kPasses
                                                                                          : kFails;
      if (!is_null) filter->unknown_count--;
    }
    if (known != kPasses) failed.Select(row);
  });
  selection->AndNot(failed);
}

bool EvaluateInteger(VectorFilters *filters, const Filter *filter, int64_t value) {
  const int at = filter->attribute - 1;
  filters->slot->tts_values[at] = IntegerToDatum(value, filter->type);
  filters->slot->tts_isnull[at] = false;
  const bool passes = ExecQual(filter->predicate, filters->expression_context);
  filters->slot->tts_isnull[at] = true;
  ResetExprContext(filters->expression_context);
  return passes;
}

/// Ranges that meet the values of a vector, up to which they are compared with one by one.
constexpr int kMaxRangesTested = 8;

/// Whether no value is to be asked.
bool IsDecided(const MonotoneBounds &bounds) {
  return bounds.pass_from <= bounds.maybe_from && bounds.pass_to >= bounds.maybe_to;
}

/// Narrows `selection` to the rows whose value is in one of several ranges, or may be: those are
/// `asked`.
void SelectByRanges(const MonotoneRanges &ranges, const Vector &vector, Selection *selection,
                    Selection *asked) {
  const IntegerSummary values =
      SummarizeIntegers(vector, {0, vector.count, nullptr}, kSummaryMin | kSummaryMax);
  const int first = ranges.Find(values.min);
  int end = first;
  while (end < ranges.count && ranges.bounds[end].maybe_from <= values.max) end++;
  Selection passed;
  passed.Clear();
  Selection out;
  if (end - first <= kMaxRangesTested) {
    asked->Clear();
    for (int i = first; i < end; i++) {
      const MonotoneBounds &bounds = ranges.bounds[i];
      FilterIntegerRange(vector, bounds.maybe_from, bounds.maybe_to, out);
      asked->Or(out);
      if (!IsDecided(bounds)) FilterIntegerRange(vector, bounds.pass_from, bounds.pass_to, out);
      passed.Or(out);
    }
    selection->And(*asked);
  } else {
    FilterNotNull(vector, out);
    selection->And(out);
    Selection failed;
    failed.Clear();
    selection->ForEach([&](uint32_t row) {
      const MonotoneAnswer answer = ranges.Answer(vector.integers[row]);
      if (answer == MonotoneAnswer::kFails) failed.Select(row);
      if (answer == MonotoneAnswer::kPasses) passed.Select(row);
    });
    selection->AndNot(failed);
  }
  *asked = *selection;
  asked->AndNot(passed);
}

/// Values that the bounds do not decide are asked, and may be an error.
void SelectByBounds(VectorFilters *filters, const Filter *filter, const Vector &vector,
                    Selection *selection) {
  Selection asked;
  asked.Clear();
  if (filter->ranges.count > 1) {
    SelectByRanges(filter->ranges, vector, selection, &asked);
  } else {
    const MonotoneBounds &bounds = filter->ranges.bounds[0];
    Selection out;
    FilterIntegerRange(vector, bounds.maybe_from, bounds.maybe_to, out);
    selection->And(out);
    if (IsDecided(bounds)) return;
    asked = *selection;
    FilterIntegerRange(vector, bounds.pass_from, bounds.pass_to, out);
    asked.AndNot(out);
  }
  Selection failed;
  failed.Clear();
  asked.ForEach([&](uint32_t row) {
    if (!EvaluateInteger(filters, filter, vector.integers[row])) failed.Select(row);
  });
  selection->AndNot(failed);
}

// ---- Trees ----

void SelectNumbers(const Filter *filter, const Vector &vector, Selection *selection) {
  Selection out;
  switch (filter->now) {
    case FilterKind::kInteger:
      FilterIntegers(vector, filter->comparison_now, filter->integer, out);
      break;
    case FilterKind::kReal:
      FilterReals(vector, filter->comparison_now, filter->real, out);
      break;
    case FilterKind::kIntegersIn:
      FilterIntegersIn(vector, {filter->integers, static_cast<size_t>(filter->value_count)}, out);
      break;
    case FilterKind::kRealsIn:
      FilterRealsIn(vector, {filter->reals, static_cast<size_t>(filter->value_count)}, out);
      break;
    case FilterKind::kNull:
      FilterNull(vector, out);
      break;
    default:
      FilterNotNull(vector, out);
      break;
  }
  const bool is_not_in = filter->is_negated && (filter->now == FilterKind::kIntegersIn ||
                                                filter->now == FilterKind::kRealsIn);
  if (!is_not_in) {
    selection->And(out);
    return;
  }
  selection->AndNot(out);
  if (vector.any_null) {
    FilterNotNull(vector, out);
    selection->And(out);
  }
}

/// Narrows `selection` to the rows the filter is true for. False: no row of the segment is.
bool Select(VectorFilters *filters, Filter *filter, BatchScan *scan, Selection *selection) {
  if (filters->is_cold && filter->vector_verdict != Verdict::kSome) {
    if (filter->vector_verdict == Verdict::kNone) selection->Clear();
    return true;
  }
  switch (filter->now) {
    case FilterKind::kAlways:
      return true;
    case FilterKind::kNever:
      selection->Clear();
      return true;
    case FilterKind::kAnd:
      for (int i = 0; i < filter->child_count && !selection->IsEmpty(); i++)
        Select(filters, filter->children[i], scan, selection);
      return true;
    case FilterKind::kOr: {
      Selection passed;
      passed.Clear();
      for (int i = 0; i < filter->child_count && !selection->IsEmpty(); i++) {
        Selection part = *selection;
        Select(filters, filter->children[i], scan, &part);
        passed.Or(part);
        selection->AndNot(part);
      }
      *selection = passed;
      return true;
    }
    case FilterKind::kComplement: {
      Selection part = *selection;
      Select(filters, filter->children[0], scan, &part);
      selection->AndNot(part);
      return true;
    }
    case FilterKind::kExpression:
      SelectByExpression(filters, filter, scan, selection);
      return true;
    case FilterKind::kMonotone:
      SelectByBounds(filters, filter, *BatchColumn(scan, filter->attribute), selection);
      return true;
    case FilterKind::kBytes:
    case FilterKind::kBytesIn:
      if (const CodeVector *codes = BatchCodes(scan, filter->attribute))
        return SelectCodes(filters, filter, scan, *codes, selection);
      SelectBytes(filter, *BatchColumn(scan, filter->attribute), selection);
      return true;
    default:
      SelectNumbers(filter, *BatchColumn(scan, filter->attribute), selection);
      return true;
  }
}

// ---- The sort key ----

/// A filter that wants the first column of the sort key to be one of few values, or nullptr.
Filter *KeyFilter(VectorFilters *filters, AttrNumber attribute) {
  for (int i = 0; i < filters->count; i++) {
    Filter *filter = filters->filters[i];
    if (filter->attribute != attribute || filter->child_count > 0) continue;
    if (filter->now == FilterKind::kBytes && filter->comparison_now == Comparison::kEqual)
      return filter;
    if (filter->now == FilterKind::kBytesIn && !filter->is_negated) return filter;
  }
  return nullptr;
}

/// The first of vectors [begin, end) whose first row is not before `value`, or (`is_after`) is
/// behind it. Such rows are in the order of bytes, NULLs last.
uint32_t FindVector(SegmentReader *reader, AttrNumber attribute, ByteView value, bool is_after,
                    uint32_t begin, uint32_t end) {
  const std::span<const ByteView> dictionary = SegmentReaderDictionary(reader, attribute);
  while (begin < end) {
    const uint32_t middle = (begin + end) / 2;
    const CodeVector &codes = *SegmentReaderCodes(reader, attribute, middle);
    const int order = codes.IsNull(0) ? 1 : CompareBytes(dictionary[codes.codes[0]], value);
    if (is_after ? order > 0 : order >= 0) {
      end = middle;
    } else {
      begin = middle + 1;
    }
  }
  return begin;
}

}  // namespace

void FindKeyVectors(VectorFilters *filters, SegmentReader *reader, uint32_t *begin, uint32_t *end) {
  const SegmentHead &head = SegmentReaderHead(reader);
  if (head.sort_key().empty() || head.vector_count() < 3) return;
  const AttrNumber attribute = head.sort_key()[0];
  Filter *filter = KeyFilter(filters, attribute);
  if (filter == nullptr || head.FindColumn(attribute) < 0 ||
      SegmentReaderDictionary(reader, attribute).empty())
    return;
  const bool is_in = filter->now == FilterKind::kBytesIn;
  const ByteView least = is_in ? filter->byte_values[0] : filter->bytes;
  const ByteView greatest = is_in ? filter->byte_values[filter->value_count - 1] : filter->bytes;
  const uint32_t first = FindVector(reader, attribute, least, false, *begin, *end);
  *end = FindVector(reader, attribute, greatest, true, first, *end);
  // The vector before may end with the value that `first` begins with or is the first to pass.
  *begin = first > *begin ? first - 1 : first;
  // Vectors that begin with the value and are followed by another one that does have no other.
  if (!is_in && *end > first) {
    filter->all_begin = first;
    filter->all_end = *end - 1;
  }
}

FilterResult RunFilters(VectorFilters *filters, BatchScan *scan, bool is_cold,
                        Selection *selection) {
  filters->is_cold = is_cold;
  for (int i = 0; i < filters->count; i++) {
    if (!Select(filters, filters->filters[i], scan, selection)) return FilterResult::kSegmentOver;
    if (selection->IsEmpty()) return FilterResult::kNoRows;
  }
  return FilterResult::kRows;
}

}  // namespace tsext::pg
