// Vector filters at work: constants, what footers and zone maps say, selections.

#include "pg/exec/vector_filter.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "tsext/sort_key.hpp"

#include "pg/exec/vector_filter_run.hpp"
#include "pg/exec/vector_filter_state.hpp"

extern "C" {
#include "access/htup_details.h"
#include "catalog/pg_type_d.h"
#include "executor/executor.h"
#include "utils/array.h"
#include "utils/cash.h"
#include "utils/date.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
}

namespace tsext::pg {

namespace {

// ---- Constants ----

/// A value that a conversion moved beyond the ends of the column's type, but not to infinity.
enum class Overflow : int8_t { kBelow = -1, kNone = 0, kAbove = 1 };

int64_t IntegerOf(Datum value, Oid type) {
  switch (type) {
    case BOOLOID:
      return static_cast<int64_t>(DatumGetBool(value));
    case CHAROID:
      return static_cast<int8_t>(DatumGetChar(value));
    case INT2OID:
      return DatumGetInt16(value);
    case INT8OID:
    case TIMESTAMPOID:
    case TIMESTAMPTZOID:
    case TIMEOID:
    case CASHOID:
      return DatumGetInt64(value);
    default:  // int4, date; oid and enum, which are stored sign-extended too
      return DatumGetInt32(value);
  }
}

int64_t ConvertedInteger(const Filter *filter, Datum value, Overflow *overflow) {
  int code = 0;
  int64_t result;
  switch (filter->conversion) {
    case ConstantConversion::kDateToTimestamp:
      result = date2timestamp_opt_overflow(DatumGetDateADT(value), &code);
      break;
    case ConstantConversion::kDateToTimestamptz:
      result = date2timestamptz_opt_overflow(DatumGetDateADT(value), &code);
      break;
    case ConstantConversion::kTimestampToTimestamptz:
      result = timestamp2timestamptz_opt_overflow(DatumGetTimestamp(value), &code);
      break;
    default:
      result = IntegerOf(value, filter->constant_type);
  }
  *overflow = static_cast<Overflow>(code < 0 ? -1 : static_cast<int>(code > 0));
  return result;
}

double RealOf(Datum value, Oid type) {
  return type == FLOAT4OID ? static_cast<double>(DatumGetFloat4(value)) : DatumGetFloat8(value);
}

/// Copies the bytes of a value into the current memory context.
ByteView CopyBytes(Datum value, Oid type) {
  const DatumClass bytes_class = type == UUIDOID ? DatumClass{PhysicalType::kUuid, 16, false, 16}
                                                 : DatumClass{PhysicalType::kText, 0, false, -1};
  void *detoasted;
  const ByteView bytes = DatumToBytes(value, bytes_class, &detoasted);
  if (detoasted != nullptr) return bytes;
  auto *copy = static_cast<std::byte *>(palloc(Max(bytes.size, 1u)));
  memcpy(copy, bytes.data, bytes.size);
  return {copy, bytes.size};
}

bool IsLess(ByteView a, ByteView b) {
  return CompareBytes(a, b) < 0;
}

bool IsSame(ByteView a, ByteView b) {
  return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/// PostgreSQL's order: NaN last and equal to itself.
bool IsLessReal(double a, double b) {
  if (std::isnan(b)) return !std::isnan(a);
  return a < b;
}

bool IsSameReal(double a, double b) {
  return a == b || (std::isnan(a) && std::isnan(b));
}

/// Column comparison with a constant beyond all finite values.
void SetOverflown(Filter *filter, Overflow overflow) {
  const bool is_above = overflow == Overflow::kAbove;
  filter->integer = is_above ? INT64_MAX : INT64_MIN;  // infinity
  switch (filter->comparison) {
    case Comparison::kEqual:
      filter->now = FilterKind::kNever;
      break;
    case Comparison::kNotEqual:
      filter->now = FilterKind::kNotNull;
      break;
    case Comparison::kLess:
    case Comparison::kLessEqual:
      filter->comparison_now = is_above ? Comparison::kLess : Comparison::kEqual;
      break;
    case Comparison::kGreater:
    case Comparison::kGreaterEqual:
      filter->comparison_now = is_above ? Comparison::kEqual : Comparison::kGreater;
      break;
  }
}

void SetConstant(Filter *filter, Datum value) {
  Overflow overflow = Overflow::kNone;
  switch (filter->kind) {
    case FilterKind::kInteger:
      filter->integer = ConvertedInteger(filter, value, &overflow);
      if (overflow != Overflow::kNone) SetOverflown(filter, overflow);
      break;
    case FilterKind::kReal:
      filter->real = RealOf(value, filter->constant_type);
      break;
    default:
      filter->bytes = CopyBytes(value, filter->constant_type);
      break;
  }
}

template <typename T>
T *NewArray(int count) {
  return static_cast<T *>(palloc(sizeof(T) * static_cast<size_t>(Max(count, 1))));
}

template <typename T, typename Less, typename Same>
int SortUnique(T *values, int count, const Less &less, const Same &same) {
  std::sort(values, values + count, less);
  return static_cast<int>(std::unique(values, values + count, same) - values);
}

void SetArray(Filter *filter, Datum value) {
  ArrayType *array = DatumGetArrayTypeP(value);
  int16 length;
  bool by_value;
  char alignment;
  get_typlenbyvalalign(ARR_ELEMTYPE(array), &length, &by_value, &alignment);
  Datum *elements;
  bool *nulls;
  int total;
  deconstruct_array(array, ARR_ELEMTYPE(array), length, by_value, alignment, &elements, &nulls,
                    &total);
  if (total == 0) {
    // No comparison is made at all, with NULL neither.
    filter->now = filter->is_negated ? FilterKind::kAlways : FilterKind::kNever;
    return;
  }
  filter->integers = NewArray<int64_t>(total);
  filter->reals = NewArray<double>(total);
  filter->byte_values = NewArray<ByteView>(total);
  int count = 0;
  bool any_null = false;
  for (int i = 0; i < total; i++) {
    Overflow overflow = Overflow::kNone;
    any_null = any_null || nulls[i];
    if (nulls[i]) continue;
    if (filter->kind == FilterKind::kIntegersIn) {
      filter->integers[count] = ConvertedInteger(filter, elements[i], &overflow);
    } else if (filter->kind == FilterKind::kRealsIn) {
      const double real = RealOf(elements[i], filter->constant_type);
      filter->reals[count] = real == 0 ? 0 : real;  // no -0
    } else {
      filter->byte_values[count] = CopyBytes(elements[i], filter->constant_type);
    }
    if (overflow == Overflow::kNone) count++;  // else equal to nothing
  }
  if (filter->is_negated && any_null) {
    filter->now = FilterKind::kNever;
  } else if (count == 0) {
    filter->now = filter->is_negated ? FilterKind::kNotNull : FilterKind::kNever;
  } else if (filter->kind == FilterKind::kIntegersIn) {
    filter->value_count = SortUnique(filter->integers, count, std::less<>(), std::equal_to<>());
  } else if (filter->kind == FilterKind::kRealsIn) {
    filter->value_count = SortUnique(filter->reals, count, IsLessReal, IsSameReal);
  } else {
    filter->value_count = SortUnique(filter->byte_values, count, IsLess, IsSame);
  }
}

void ComputeConstant(VectorFilters *filters, Filter *filter) {
  filter->now = filter->kind;
  filter->comparison_now = filter->comparison;
  if (filter->kind == FilterKind::kMonotone &&
      !FindMonotoneRanges(filter->search, filters->expression_context, filters->slot,
                          &filter->ranges))
    filter->now = FilterKind::kNever;
  if (filter->constant == nullptr) return;
  bool is_null = false;
  Datum value;
  if (IsA(filter->constant, Const)) {
    const auto *constant = reinterpret_cast<const Const *>(filter->constant);
    value = constant->constvalue;
    is_null = constant->constisnull;
  } else {
    value =
        ExecEvalExprSwitchContext(filter->constant_state, filters->expression_context, &is_null);
  }
  if (is_null) {
    filter->now = filter->is_null_safe ? FilterKind::kNull : FilterKind::kNever;
  } else if (filter->kind == FilterKind::kIntegersIn || filter->kind == FilterKind::kRealsIn ||
             filter->kind == FilterKind::kBytesIn) {
    SetArray(filter, value);
  } else {
    SetConstant(filter, value);
  }
}

// ---- Times ----

struct TimeRange {
  int64_t from, to;
};
constexpr TimeRange kAllTimes = {kTimeMinimum, kTimeMaximum};
constexpr TimeRange kNoTimes = {kTimeMaximum, kTimeMinimum};

/// A stored time in time units: dates have infinities of their own.
int64_t TimeOfStored(int64_t value, Oid time_type) {
  if (time_type != DATEOID) return value;
  if (value <= DATEVAL_NOBEGIN) return kTimeMinimum;
  return value >= DATEVAL_NOEND ? kTimeMaximum : value;
}

/// The times rows can have that pass a filter.
TimeRange TimesOf(const Filter *filter, AttrNumber time_attribute, Oid time_type) {
  TimeRange range = kAllTimes;
  switch (filter->now) {
    case FilterKind::kNever:
      return kNoTimes;
    case FilterKind::kAnd:
      for (int i = 0; i < filter->child_count; i++) {
        const TimeRange child = TimesOf(filter->children[i], time_attribute, time_type);
        range = {Max(range.from, child.from), Min(range.to, child.to)};
      }
      return range;
    case FilterKind::kOr:
      range = kNoTimes;
      for (int i = 0; i < filter->child_count; i++) {
        const TimeRange child = TimesOf(filter->children[i], time_attribute, time_type);
        if (child.from > child.to) continue;
        range = {Min(range.from, child.from), Max(range.to, child.to)};
      }
      return range;
    case FilterKind::kIntegersIn:
      if (filter->attribute != time_attribute || filter->is_negated) return range;
      return {TimeOfStored(filter->integers[0], time_type),
              TimeOfStored(filter->integers[filter->value_count - 1], time_type)};
    case FilterKind::kMonotone:
      if (filter->attribute != time_attribute) return range;
      return {TimeOfStored(filter->ranges.bounds[0].maybe_from, time_type),
              TimeOfStored(filter->ranges.bounds[filter->ranges.count - 1].maybe_to, time_type)};
    case FilterKind::kInteger:
      break;
    default:
      return range;
  }
  if (filter->attribute != time_attribute) return range;
  const int64_t time = TimeOfStored(filter->integer, time_type);
  switch (filter->comparison_now) {
    case Comparison::kEqual:
      return {time, time};
    case Comparison::kLess:
      if (time == kTimeMinimum) return kNoTimes;
      range.to = time == kTimeMaximum ? time : time - 1;
      return range;
    case Comparison::kLessEqual:
      range.to = time;
      return range;
    case Comparison::kGreater:
      if (time == kTimeMaximum) return kNoTimes;
      range.from = time == kTimeMinimum ? time : time + 1;
      return range;
    case Comparison::kGreaterEqual:
      range.from = time;
      return range;
    case Comparison::kNotEqual:
      return range;
  }
  return range;
}

// ---- Verdicts: of rows, NULLs included ----

Verdict Opposite(Verdict verdict) {
  if (verdict == Verdict::kSome) return verdict;
  return verdict == Verdict::kAll ? Verdict::kNone : Verdict::kAll;
}

Verdict JudgeIntegersIn(const Filter *filter, int64_t min, int64_t max) {
  const int64_t *end = filter->integers + filter->value_count;
  const int64_t *begin = filter->integers;
  const int64_t *at = std::lower_bound(begin, end, min);
  Verdict verdict = Verdict::kSome;
  if (at == end || *at > max) {
    verdict = Verdict::kNone;
  } else if (min == max) {
    verdict = Verdict::kAll;
  }
  return filter->is_negated ? Opposite(verdict) : verdict;
}

Verdict JudgeRealsIn(const Filter *filter, double min, double max) {
  const double *end = filter->reals + filter->value_count;
  const double *begin = filter->reals;
  const double *at = std::lower_bound(begin, end, min, IsLessReal);
  Verdict verdict = Verdict::kSome;
  if (at == end || IsLessReal(max, *at)) {
    verdict = Verdict::kNone;
  } else if (IsSameReal(min, max)) {
    verdict = Verdict::kAll;
  }
  return filter->is_negated ? Opposite(verdict) : verdict;
}

/// Where a value lies against [min, max]: -1 before, 1 behind, 0 perhaps inside.
int PlaceBytes(ByteView value, const Statistic &min, const Statistic &max) {
  const auto view = [](const Statistic &statistic) {
    return ByteView{reinterpret_cast<const std::byte *>(statistic.bytes.data()),
                    static_cast<uint32_t>(statistic.bytes.size())};
  };
  if (CompareBytes(value, view(min)) < 0) return -1;
  ByteView last = view(max);
  // Of a maximum that was cut all that starts with it may be there.
  if (max.truncated) value.size = Min(value.size, last.size);
  return CompareBytes(value, last) > 0 ? 1 : 0;
}

Verdict JudgeBytes(const Filter *filter, const ColumnFooter &footer) {
  const bool is_in = filter->now == FilterKind::kBytesIn;
  if (is_in ? filter->is_negated : filter->comparison_now == Comparison::kNotEqual)
    return Verdict::kSome;
  if (is_in) {
    for (int i = 0; i < filter->value_count; i++)
      if (PlaceBytes(filter->byte_values[i], footer.min, footer.max) == 0) return Verdict::kSome;
    return Verdict::kNone;
  }
  const int place = PlaceBytes(filter->bytes, footer.min, footer.max);
  switch (filter->comparison_now) {
    case Comparison::kLess:
    case Comparison::kLessEqual:
      if (place > 0) return Verdict::kAll;
      return place < 0 ? Verdict::kNone : Verdict::kSome;
    case Comparison::kGreater:
    case Comparison::kGreaterEqual:
      if (place < 0) return Verdict::kAll;
      return place > 0 ? Verdict::kNone : Verdict::kSome;
    default:
      return place == 0 ? Verdict::kSome : Verdict::kNone;
  }
}

/// What is known of the values of a column in a segment or vector.
struct ValueRange {
  bool has_null, all_null;
  bool has_range;
  int64_t min_integer, max_integer;
  double min_real, max_real;
  const ColumnFooter *footer;  // text: of the segment
};

Verdict JudgeLeaf(const Filter *filter, const ValueRange &range) {
  switch (filter->now) {
    case FilterKind::kNull:
      return range.all_null ? Verdict::kAll : range.has_null ? Verdict::kSome : Verdict::kNone;
    case FilterKind::kNotNull:
      return range.all_null ? Verdict::kNone : range.has_null ? Verdict::kSome : Verdict::kAll;
    case FilterKind::kExpression:
      return Verdict::kSome;
    default:
      break;
  }
  if (range.all_null) return Verdict::kNone;
  if (!range.has_range) return Verdict::kSome;
  Verdict verdict = Verdict::kSome;
  switch (filter->now) {
    case FilterKind::kInteger:
      verdict = JudgeIntegers(range.min_integer, range.max_integer, filter->comparison_now,
                              filter->integer);
      break;
    case FilterKind::kReal:
      verdict = JudgeReals(range.min_real, range.max_real, filter->comparison_now, filter->real);
      break;
    case FilterKind::kMonotone:
      verdict = filter->ranges.Judge(range.min_integer, range.max_integer);
      break;
    case FilterKind::kIntegersIn:
      verdict = JudgeIntegersIn(filter, range.min_integer, range.max_integer);
      break;
    case FilterKind::kRealsIn:
      verdict = JudgeRealsIn(filter, range.min_real, range.max_real);
      break;
    case FilterKind::kBytes:
    case FilterKind::kBytesIn:
      if (range.footer != nullptr) verdict = JudgeBytes(filter, *range.footer);
      break;
    default:
      break;
  }
  return verdict == Verdict::kAll && range.has_null ? Verdict::kSome : verdict;
}

// ---- Keys of the directory ----

/// Values of a list that are looked for one by one.
constexpr int kMaxKeysTested = 64;

/// A filter that wants an attribute to be one of some values, or nullptr.
const Filter *FindKeyFilter(const VectorFilters *filters, AttrNumber attribute) {
  if (attribute == 0) return nullptr;
  for (int i = 0; i < filters->count; i++) {
    const Filter *filter = filters->filters[i];
    if (filter->attribute != attribute || filter->child_count > 0) continue;
    switch (filter->now) {
      case FilterKind::kInteger:
      case FilterKind::kReal:
      case FilterKind::kBytes:
        if (filter->comparison_now == Comparison::kEqual) return filter;
        break;
      case FilterKind::kIntegersIn:
      case FilterKind::kRealsIn:
      case FilterKind::kBytesIn:
        if (!filter->is_negated) return filter;
        break;
      default:
        break;
    }
  }
  return nullptr;
}

int KeyCount(const Filter *filter) {
  switch (filter->now) {
    case FilterKind::kIntegersIn:
    case FilterKind::kRealsIn:
    case FilterKind::kBytesIn:
      return filter->value_count;
    default:
      return 1;
  }
}

/// The bytes of value `index` of a filter from FindKeyFilter, as writers make them.
void AppendKey(const Filter *filter, int index, SortKey *key) {
  switch (filter->now) {
    case FilterKind::kInteger:
      return key->AppendOrdered(OrderedInteger(filter->integer));
    case FilterKind::kIntegersIn:
      return key->AppendOrdered(OrderedInteger(filter->integers[index]));
    case FilterKind::kReal:
      return key->AppendOrdered(OrderedDouble(filter->real));
    case FilterKind::kRealsIn:
      return key->AppendOrdered(OrderedDouble(filter->reals[index]));
    case FilterKind::kBytes:
      return key->AppendBytes(filter->bytes);
    default:
      return key->AppendBytes(filter->byte_values[index]);
  }
}

/// The verdict over a tree; judge(leaf) gives those of its leaves and `member` keeps each.
template <typename Judge>
Verdict JudgeTree(Filter *filter, Verdict Filter::*member, const Judge &judge) {
  Verdict verdict;
  switch (filter->now) {
    case FilterKind::kAlways:
      verdict = Verdict::kAll;
      break;
    case FilterKind::kNever:
      verdict = Verdict::kNone;
      break;
    case FilterKind::kComplement:
      verdict = Opposite(JudgeTree(filter->children[0], member, judge));
      break;
    case FilterKind::kAnd:
    case FilterKind::kOr: {
      const bool is_and = filter->now == FilterKind::kAnd;
      const Verdict decides = is_and ? Verdict::kNone : Verdict::kAll;
      verdict = is_and ? Verdict::kAll : Verdict::kNone;
      // Every child is judged: RunFilter goes by their verdicts.
      for (int i = 0; i < filter->child_count; i++) {
        const Verdict child = JudgeTree(filter->children[i], member, judge);
        if (child == decides) {
          verdict = decides;
        } else if (child == Verdict::kSome && verdict != decides) {
          verdict = Verdict::kSome;
        }
      }
      break;
    }
    default:
      verdict = judge(filter);
  }
  filter->*member = verdict;
  return verdict;
}

template <typename Judge>
Verdict JudgeAll(VectorFilters *filters, Verdict Filter::*member, const Judge &judge) {
  Verdict all = Verdict::kAll;
  for (int i = 0; i < filters->count; i++) {
    const Verdict verdict = JudgeTree(filters->filters[i], member, judge);
    if (verdict == Verdict::kNone) return verdict;
    if (verdict == Verdict::kSome) all = verdict;
  }
  return all;
}

}  // namespace

VectorFilters *MakeVectorFilters(List *clauses, Index rel, Relation relation, PlanState *parent) {
  if (clauses == NIL) return nullptr;
  auto *filters = static_cast<VectorFilters *>(palloc0(sizeof(VectorFilters)));
  filters->context = CurrentMemoryContext;
  filters->constants =
      AllocSetContextCreate(CurrentMemoryContext, "tsext filter constants", ALLOCSET_SMALL_SIZES);
  filters->parent = parent;
  filters->expression_context = CreateExprContext(parent->state);
  filters->filters = NewArray<Filter *>(list_length(clauses));
  FilterBuilder builder = {rel, RelationGetDescr(relation), nullptr, false, false};
  ListCell *cell;
  foreach (cell, clauses) {
    Filter *filter = BuildFilter(&builder, static_cast<Node *>(lfirst(cell)), false);
    if (filter == nullptr) elog(ERROR, "could not compile a vector filter");
    filters->filters[filters->count++] = filter;
    ForEachLeaf(filter, [&](Filter *leaf) {
      filters->attributes = bms_add_member(filters->attributes, leaf->attribute);
      if (leaf->constant != nullptr && !IsA(leaf->constant, Const))
        leaf->constant_state = ExecInitExpr(leaf->constant, parent);
      if (leaf->monotone != nullptr)
        leaf->search = MakeMonotoneSearch(*leaf->monotone, builder.descriptor, parent);
      if (leaf->expression != nullptr)
        leaf->predicate = ExecInitQual(list_make1(leaf->expression), parent);
    });
  }
  if (builder.uses_expression) {
    filters->slot =
        ExecAllocTableSlot(&parent->state->es_tupleTable, builder.descriptor, &TTSOpsVirtual);
    ExecStoreAllNullTuple(filters->slot);
    filters->expression_context->ecxt_scantuple = filters->slot;
  }
  // Stable: functions see rows in the order of the clauses, which is that of their security levels,
  // whatever else is in their clause.
  std::stable_sort(filters->filters, filters->filters + filters->count,
                   [](const Filter *a, const Filter *b) {
                     return Min(a->cost, kExpressionCost) < Min(b->cost, kExpressionCost);
                   });
  return filters;
}

bool StartFilters(VectorFilters *filters, AttrNumber time_attribute, Oid time_type, int64_t *from,
                  int64_t *to) {
  MemoryContextReset(filters->constants);
  MemoryContext old = MemoryContextSwitchTo(filters->constants);
  filters->time_attribute = time_attribute;
  filters->segment_count++;  // what was remembered of values may depend on parameters
  for (int i = 0; i < filters->count; i++)
    ForEachLeaf(filters->filters[i], [&](Filter *leaf) { ComputeConstant(filters, leaf); });
  MemoryContextSwitchTo(old);
  ResetExprContext(filters->expression_context);
  bool is_possible = true;
  for (int i = 0; i < filters->count; i++) {
    const Filter *filter = filters->filters[i];
    const TimeRange range = TimesOf(filter, time_attribute, time_type);
    *from = Max(*from, range.from);
    *to = Min(*to, range.to);
    is_possible = is_possible && filter->now != FilterKind::kNever;
  }
  return is_possible && *from <= *to;
}

const Bitmapset *FilterAttributes(const VectorFilters *filters) {
  return filters->attributes;
}

bool MayHaveKey(const VectorFilters *filters, int32_t flags, ByteView lo, ByteView hi) {
  const Filter *first = FindKeyFilter(filters, FirstKeyAttribute(flags));
  if (first == nullptr) return true;
  const int count = KeyCount(first);
  if (count > kMaxKeysTested) {
    // Of a long list the ends: some value lies between them.
    SortKey least;
    SortKey greatest;
    AppendKey(first, 0, &least);
    AppendKey(first, count - 1, &greatest);
    return (CompareSortKeys(least.view(), hi) <= 0 || SortKeyMayContain(lo, hi, least.view())) &&
           (CompareSortKeys(greatest.view(), lo) >= 0 ||
            SortKeyMayContain(lo, hi, greatest.view()));
  }
  const Filter *second = count == 1 ? FindKeyFilter(filters, SecondKeyAttribute(flags)) : nullptr;
  if (second != nullptr && KeyCount(second) > 1) second = nullptr;
  for (int i = 0; i < count; i++) {
    SortKey key;
    AppendKey(first, i, &key);
    if (second != nullptr) AppendKey(second, 0, &key);
    if (SortKeyMayContain(lo, hi, key.view())) return true;
  }
  return false;
}

bool MayHaveTimes(const VectorFilters *filters, int64_t tmin, int64_t tmax) {
  for (int i = 0; i < filters->count; i++) {
    const Filter *filter = filters->filters[i];
    if (filter->now == FilterKind::kMonotone && filter->attribute == filters->time_attribute &&
        filter->ranges.Judge(tmin, tmax) == Verdict::kNone)
      return false;
  }
  return true;
}

Verdict JudgeSegment(VectorFilters *filters, const SegmentHead &head) {
  filters->segment_count++;
  return JudgeAll(filters, &Filter::segment_verdict, [&](Filter *leaf) {
    leaf->all_begin = leaf->all_end = 0;
    const int column = head.FindColumn(leaf->attribute);
    if (column < 0) return Verdict::kSome;
    const ColumnFooter &footer = head.columns()[static_cast<size_t>(column)];
    ValueRange range = {};
    range.has_null = footer.null_count > 0;
    range.all_null = footer.null_count == head.row_count();
    // Of another class than the column's: the column's type was changed without a rewrite.
    range.has_range = footer.min.valid && footer.max.valid && footer.type == leaf->type.type;
    range.min_integer = footer.min.integer;
    range.max_integer = footer.max.integer;
    range.min_real = footer.min.real;
    range.max_real = footer.max.real;
    range.footer = &footer;
    return JudgeLeaf(leaf, range);
  });
}

void ForgetDictionaries(VectorFilters *filters) {
  filters->segment_count++;
}

Verdict JudgeVector(VectorFilters *filters, const SegmentHead &head, uint32_t vector) {
  return JudgeAll(filters, &Filter::vector_verdict, [&](const Filter *leaf) {
    if (leaf->segment_verdict != Verdict::kSome) return leaf->segment_verdict;
    if (vector >= leaf->all_begin && vector < leaf->all_end) return Verdict::kAll;
    const int column = head.FindColumn(leaf->attribute);
    if (column < 0) return Verdict::kSome;
    const VectorFooter footer = head.Vector(static_cast<uint32_t>(column), vector);
    ValueRange range = {};
    range.has_null = footer.any_null;
    range.all_null = footer.all_null;
    range.has_range =
        footer.has_range && head.columns()[static_cast<size_t>(column)].type == leaf->type.type;
    range.min_integer = footer.min_integer;
    range.max_integer = footer.max_integer;
    range.min_real = footer.min_real;
    range.max_real = footer.max_real;
    return JudgeLeaf(leaf, range);
  });
}

}  // namespace tsext::pg
