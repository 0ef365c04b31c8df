// The search for the values of a column that pass a comparison.

#include "pg/exec/monotone_bounds.hpp"

#include <algorithm>
#include <tuple>

#include "pg/base/boundary.hpp"
#include "pg/base/datum.hpp"

extern "C" {
#include "catalog/pg_type_d.h"
#include "datatype/timestamp.h"
#include "executor/executor.h"
#include "nodes/nodeFuncs.h"
#include "utils/array.h"
#include "utils/date.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/multirangetypes.h"
#include "utils/rangetypes.h"
#include "utils/typcache.h"
}

namespace tsext::pg {

ColumnRange FiniteValues(Oid type) {
  switch (type) {
    case INT2OID:
      return {PG_INT16_MIN, PG_INT16_MAX};
    case INT4OID:
      return {PG_INT32_MIN, PG_INT32_MAX};
    case INT8OID:
      return {PG_INT64_MIN + 1, PG_INT64_MAX - 1};
    case DATEOID:
      return {(DATETIME_MIN_JULIAN - POSTGRES_EPOCH_JDATE) / 2,
              DATE_END_JULIAN - POSTGRES_EPOCH_JDATE - 1};
    default:
      return {MIN_TIMESTAMP / 2, END_TIMESTAMP - 1};
  }
}

namespace {

int64_t IntegerOf(Datum value, Oid type) {
  switch (type) {
    case INT2OID:
      return DatumGetInt16(value);
    case INT4OID:
    case DATEOID:
      return DatumGetInt32(value);
    default:
      return DatumGetInt64(value);
  }
}

int64_t SaturatedSum(int64_t a, int64_t b) {
  int64_t sum;
  if (!__builtin_add_overflow(a, b, &sum)) return sum;
  return b > 0 ? PG_INT64_MAX : PG_INT64_MIN;
}

// ---- Time zones ----

/// More than any clock is ever put back (a day, where the date line was moved), and as much again
/// for a result that is turned back into an instant by the same clock: of two times that far apart
/// the later one never has the lesser result.
constexpr int64_t kZoneSlackDays = 2;
/// Offsets from UTC are less than that in all zones that have a name.
constexpr long kGreatestOffset = 16 * SECS_PER_HOUR;

enum class Clocks : uint8_t { kSteady, kShifting, kUnknown };

Clocks ClocksOf(const List *zones) {
  constexpr int64_t kEpochSeconds =
      (int64_t{POSTGRES_EPOCH_JDATE} - UNIX_EPOCH_JDATE) * SECS_PER_DAY;
  Clocks clocks = Clocks::kSteady;
  ListCell *cell;
  foreach (cell, zones) {
    const pg_time_t start = MIN_TIMESTAMP / USECS_PER_SEC + kEpochSeconds;
    long before;
    long after;
    int is_dst_before;
    int is_dst_after;
    pg_time_t boundary;
    const int found = pg_next_dst_boundary(&start, &before, &is_dst_before, &boundary, &after,
                                           &is_dst_after, static_cast<pg_tz *>(lfirst(cell)));
    if (found == 0) continue;
    if (found < 0 || std::max({before, -before, after, -after}) > kGreatestOffset)
      return Clocks::kUnknown;
    clocks = Clocks::kShifting;
  }
  return clocks;
}

}  // namespace

struct MonotoneSearch {
  MonotoneComparison comparison;
  DatumClass column_class;
  ExprState *expression;
  ExprState *constant;
  List *parameters;  // ExprState *: of `expression`, computed before it
  FmgrInfo order;
  Oid result_type;
  bool constant_by_value;
  int16_t constant_length;
  TypeCacheEntry *range;  // nullptr: the constant is none
  // Of the current search.
  ExprContext *context;
  TupleTableSlot *slot;
  Datum constant_value;
  Datum value;  // compared with: of the constant, or a bound of it
  bool compares;
  bool is_over;  // an error where there should be none: nothing is known
};

namespace {

enum class Outcome : uint8_t { kError, kNull, kValue };

struct Result {
  Outcome outcome;
  int order;        // against the constant
  int64_t integer;  // when the result's type is the column's
};

Result Compute(MonotoneSearch *search, int64_t value) {
  const int at = search->comparison.monotone.column - 1;
  search->slot->tts_values[at] = IntegerToDatum(value, search->column_class);
  search->slot->tts_isnull[at] = false;
  bool is_null;
  const Datum result = ExecEvalExprSwitchContext(search->expression, search->context, &is_null);
  if (is_null) return {Outcome::kNull, 0, 0};
  if (!search->compares) return {Outcome::kValue, 0, 0};
  MemoryContext old = MemoryContextSwitchTo(search->context->ecxt_per_tuple_memory);
  const int order =
      DatumGetInt32(FunctionCall2Coll(&search->order, InvalidOid, result, search->value));
  MemoryContextSwitchTo(old);
  const bool is_integer = search->result_type == search->comparison.monotone.column_type;
  return {Outcome::kValue, order, is_integer ? IntegerOf(result, search->result_type) : 0};
}

/// The expression of one value of the column. Only arithmetic is done below, by functions that
/// hold nothing but memory: their errors need no subtransaction.
Result At(MonotoneSearch *search, int64_t value) {
  Result result = {Outcome::kError, 0, 0};
  try {
    result = Guard([&] { return Compute(search, value); });
  } catch (const PgError &error) {
    if (ERRCODE_TO_CATEGORY(error.data->sqlerrcode) != ERRCODE_DATA_EXCEPTION) throw;
    FreeErrorData(error.data);
  }
  search->slot->tts_isnull[search->comparison.monotone.column - 1] = true;
  ResetExprContext(search->context);
  return result;
}

/// The value nearest to `end`, by halves of the way from 0, for which the expression is no error.
int64_t FindEnd(MonotoneSearch *search, int64_t end) {
  while (end != 0 && At(search, end).outcome != Outcome::kValue) end /= 2;
  return end;
}

/// The first value of [low, high] whose result is at least `order` against the constant; high + 1
/// when there is none.
int64_t FindFirst(MonotoneSearch *search, ColumnRange range, int order) {
  const auto reaches = [&](int64_t value) {
    const Result result = At(search, value);
    search->is_over = search->is_over || result.outcome != Outcome::kValue;
    return result.order >= order;
  };
  int64_t below = range.from - 1;
  int64_t above = range.to + 1;
  // With buckets it is the constant, or where the bucket behind the constant's begins.
  const Oid type = search->comparison.monotone.column_type;
  if (search->result_type == type && search->comparison.constant_type == type) {
    int64_t guess = IntegerOf(search->value, type);
    // Of a column itself it is the constant, or the value behind it.
    if (IsA(search->comparison.expression, Var))
      return guess < range.from ? range.from : guess > range.to ? above : guess + order;
    if (guess >= range.from && guess <= range.to) {
      const Result result = At(search, guess);
      if (result.order < order)
        guess = SaturatedSum(result.integer, search->comparison.monotone.width);
      if (guess > range.from && guess <= range.to) {
        if (!reaches(guess))
          below = guess;
        else if (!reaches(guess - 1))
          return guess;
        else
          above = guess - 1;
      }
    }
  }
  while (static_cast<uint64_t>(above) - static_cast<uint64_t>(below) > 1) {
    const auto half =
        static_cast<int64_t>((static_cast<uint64_t>(above) - static_cast<uint64_t>(below)) / 2);
    const int64_t middle = below + half;
    if (reaches(middle))
      above = middle;
    else
      below = middle;
  }
  return above;
}

/// Where a comparison begins to hold: not up to false_to, from true_from on.
struct Edge {
  bool has_false, has_true;
  int64_t false_to, true_from;
};

/// Far enough from all changes of the clocks the expression rises, and the edge is sharp.
bool IsNearChange(List *zones, int64_t time, int64_t slack, Oid type) {
  const int64_t unit = type == DATEOID ? USECS_PER_DAY : 1;
  int64_t from;
  int64_t to;
  if (__builtin_mul_overflow(time - slack, unit, &from) ||
      __builtin_mul_overflow(time + slack, unit, &to))
    return true;
  ZoneEra era = {zones, 1, 0};
  FindZoneEra(&era, from);
  return era.to < to;
}

Edge FindEdge(MonotoneSearch *search, ColumnRange range, int order, List *zones, int64_t slack) {
  const int64_t first = FindFirst(search, range, order);
  if (slack > 0 && !IsNearChange(zones, first, slack, search->comparison.monotone.column_type))
    slack = 0;
  return {first > range.from, first <= range.to, SaturatedSum(first - 1, -slack),
          SaturatedSum(first, slack)};
}

void PassFrom(const Edge &edge, MonotoneBounds *bounds) {
  if (edge.has_false) bounds->maybe_from = SaturatedSum(edge.false_to, 1);
  bounds->pass_from = edge.has_true ? std::max(bounds->pass_from, edge.true_from) : PG_INT64_MAX;
}

void PassBefore(const Edge &edge, MonotoneBounds *bounds) {
  if (edge.has_true) bounds->maybe_to = SaturatedSum(edge.true_from, -1);
  bounds->pass_to = edge.has_false ? std::min(bounds->pass_to, edge.false_to) : PG_INT64_MIN;
}

/// Every value is to be asked.
constexpr MonotoneBounds kUnknownBounds = {PG_INT64_MIN, PG_INT64_MAX, PG_INT64_MAX, PG_INT64_MIN};

/// False when the constant is NULL.
bool ComputeConstants(MonotoneSearch *search) {
  ListCell *cell;
  bool is_null;
  foreach (cell, search->parameters)
    ExecEvalExprSwitchContext(static_cast<ExprState *>(lfirst(cell)), search->context, &is_null);
  const Datum value = ExecEvalExprSwitchContext(search->constant, search->context, &is_null);
  if (is_null) return false;
  search->constant_value = datumCopy(value, search->constant_by_value, search->constant_length);
  ResetExprContext(search->context);
  return true;
}

}  // namespace

MonotoneSearch *MakeMonotoneSearch(const MonotoneComparison &comparison, TupleDesc descriptor,
                                   PlanState *parent) {
  auto *search = static_cast<MonotoneSearch *>(palloc0(sizeof(MonotoneSearch)));
  search->comparison = comparison;
  search->column_class = ClassOf(TupleDescAttr(descriptor, comparison.monotone.column - 1));
  search->expression = ExecInitExpr(comparison.expression, parent);
  search->constant = ExecInitExpr(comparison.constant, parent);
  List *parameters = ParamsOf(comparison.expression);
  ListCell *cell;
  foreach (cell, parameters)
    search->parameters =
        lappend(search->parameters, ExecInitExpr(static_cast<Expr *>(lfirst(cell)), parent));
  fmgr_info(comparison.order_function, &search->order);
  search->result_type = getBaseType(exprType(reinterpret_cast<Node *>(comparison.expression)));
  search->range = OidIsValid(comparison.range_type) ? RangeTypeOf(comparison.range_type) : nullptr;
  get_typlenbyval(exprType(reinterpret_cast<Node *>(comparison.constant)), &search->constant_length,
                  &search->constant_by_value);
  return search;
}

namespace {

/// What is the same for all edges of a search.
struct Ground {
  ColumnRange range;  // where the expression is no error
  List *zones;
  int64_t slack;
};

void CompareValue(MonotoneSearch *search, const Ground &ground, Comparison comparison,
                  MonotoneBounds *bounds) {
  const auto edge = [&](int order) {
    return FindEdge(search, ground.range, order, ground.zones, ground.slack);
  };
  switch (comparison) {
    case Comparison::kLess:
      return PassBefore(edge(0), bounds);
    case Comparison::kLessEqual:
      return PassBefore(edge(1), bounds);
    case Comparison::kGreaterEqual:
      return PassFrom(edge(0), bounds);
    case Comparison::kGreater:
      return PassFrom(edge(1), bounds);
    default:
      PassFrom(edge(0), bounds);
      PassBefore(edge(1), bounds);
  }
}

MonotoneBounds StartBounds(const Ground &ground) {
  return {PG_INT64_MIN, PG_INT64_MAX, ground.range.from, ground.range.to};
}

/// False: it is empty.
bool CompareRange(MonotoneSearch *search, const Ground &ground, const RangeType *range,
                  MonotoneBounds *bounds) {
  RangeBound lower;
  RangeBound upper;
  bool is_empty;
  range_deserialize(search->range, range, &lower, &upper, &is_empty);
  if (is_empty) return false;
  *bounds = StartBounds(ground);
  if (!lower.infinite) {
    search->value = lower.val;
    CompareValue(search, ground, lower.inclusive ? Comparison::kGreaterEqual : Comparison::kGreater,
                 bounds);
  }
  if (!upper.infinite) {
    search->value = upper.val;
    CompareValue(search, ground, upper.inclusive ? Comparison::kLessEqual : Comparison::kLess,
                 bounds);
  }
  return bounds->maybe_from <= bounds->maybe_to;
}

MonotoneBounds *NewBounds(int count) {
  return static_cast<MonotoneBounds *>(
      palloc(sizeof(MonotoneBounds) * static_cast<size_t>(std::max(count, 1))));
}

/// False: no value has that result.
bool CompareOne(MonotoneSearch *search, const Ground &ground, Datum value, MonotoneBounds *bounds) {
  *bounds = StartBounds(ground);
  search->value = value;
  CompareValue(search, ground, search->comparison.comparison, bounds);
  return bounds->maybe_from <= bounds->maybe_to;
}

int CompareRanges(MonotoneSearch *search, const Ground &ground, MonotoneBounds **bounds) {
  int count = 1;
  RangeType **ranges;
  RangeType *only;
  if (search->range->type_id == search->comparison.range_type) {
    only = DatumGetRangeTypeP(search->constant_value);
    ranges = &only;
  } else {
    multirange_deserialize(search->range, DatumGetMultirangeTypeP(search->constant_value), &count,
                           &ranges);
  }
  *bounds = NewBounds(count);
  int used = 0;
  for (int i = 0; i < count; i++)
    if (CompareRange(search, ground, ranges[i], *bounds + used)) used++;
  return used;
}

/// Of NOT IN with a NULL nothing passes: -1.
int CompareArray(MonotoneSearch *search, const Ground &ground, MonotoneBounds **bounds) {
  ArrayType *array = DatumGetArrayTypeP(search->constant_value);
  int16 length;
  bool by_value;
  char alignment;
  get_typlenbyvalalign(ARR_ELEMTYPE(array), &length, &by_value, &alignment);
  Datum *values;
  bool *nulls;
  int count;
  deconstruct_array(array, ARR_ELEMTYPE(array), length, by_value, alignment, &values, &nulls,
                    &count);
  *bounds = NewBounds(count);
  int used = 0;
  for (int i = 0; i < count; i++) {
    if (nulls[i] && search->comparison.is_negated) return -1;
    if (!nulls[i] && CompareOne(search, ground, values[i], *bounds + used)) used++;
  }
  const auto key = [](const MonotoneBounds &one) {
    return std::make_tuple(one.maybe_from, one.maybe_to, one.pass_from, one.pass_to);
  };
  std::sort(*bounds, *bounds + used,
            [&](const MonotoneBounds &a, const MonotoneBounds &b) { return key(a) < key(b); });
  const auto is_same = [&](const MonotoneBounds &a, const MonotoneBounds &b) {
    return key(a) == key(b);
  };
  return static_cast<int>(std::unique(*bounds, *bounds + used, is_same) - *bounds);
}

/// What lies between such bounds: passes where they certainly fail, and fails where they certainly
/// pass.
int Complement(const Ground &ground, int count, MonotoneBounds **bounds) {
  MonotoneBounds *gaps = NewBounds(count + 1);
  int used = 0;
  MonotoneBounds gap = {PG_INT64_MIN, PG_INT64_MAX, ground.range.from, ground.range.to};
  for (int i = 0; i < count; i++) {
    const MonotoneBounds &one = (*bounds)[i];
    const bool passes = one.pass_from <= one.pass_to;
    gap.maybe_to = passes ? one.pass_from - 1 : one.maybe_to;
    gap.pass_to = std::min(ground.range.to, SaturatedSum(one.maybe_from, -1));
    if (gap.maybe_from <= gap.maybe_to) gaps[used++] = gap;
    gap.maybe_from = std::max(gap.maybe_from, SaturatedSum(passes ? one.pass_to : one.maybe_to, 1));
    gap.pass_from = std::max(ground.range.from, SaturatedSum(one.maybe_to, 1));
  }
  gap.maybe_to = PG_INT64_MAX;
  gap.pass_to = ground.range.to;
  gaps[used++] = gap;
  *bounds = gaps;
  return used;
}

/// The bounds of all that the constant says; their number, not above 0 when nothing passes.
int CompareConstant(MonotoneSearch *search, const Ground &ground, MonotoneBounds **bounds) {
  int count;
  if (search->range != nullptr) {
    count = CompareRanges(search, ground, bounds);
  } else if (search->comparison.is_array) {
    count = CompareArray(search, ground, bounds);
  } else {
    *bounds = NewBounds(1);
    count = CompareOne(search, ground, search->constant_value, *bounds) ? 1 : 0;
  }
  // Near changes of a clock `maybe` is wider.
  for (int i = 1; i < count; i++)
    (*bounds)[i].maybe_to = std::max((*bounds)[i].maybe_to, (*bounds)[i - 1].maybe_to);
  for (int i = count - 1; i > 0; i--)
    (*bounds)[i - 1].maybe_from = std::min((*bounds)[i].maybe_from, (*bounds)[i - 1].maybe_from);
  return count >= 0 && search->comparison.is_negated ? Complement(ground, count, bounds) : count;
}

}  // namespace

bool FindMonotoneRanges(MonotoneSearch *search, ExprContext *context, TupleTableSlot *slot,
                        MonotoneRanges *ranges) {
  *ranges = {&kUnknownBounds, 1};
  search->context = context;
  search->slot = slot;
  search->is_over = false;
  if (!ComputeConstants(search)) return false;
  Monotone &monotone = search->comparison.monotone;
  Ground ground = {{}, list_copy(monotone.zones), 0};
  if (search->comparison.reads_zone) ground.zones = lappend(ground.zones, session_timezone);
  const Clocks clocks = ClocksOf(ground.zones);
  if (clocks == Clocks::kShifting)
    ground.slack = kZoneSlackDays * (monotone.column_type == DATEOID ? 1 : USECS_PER_DAY);

  search->compares = false;
  const Result middle = At(search, 0);
  if (middle.outcome == Outcome::kNull) return false;
  // A width that is none, for instance.
  if (middle.outcome == Outcome::kError || clocks == Clocks::kUnknown) return true;
  const ColumnRange finite = FiniteValues(monotone.column_type);
  ground.range = {FindEnd(search, finite.from), FindEnd(search, finite.to)};
  search->compares = true;

  MonotoneBounds *bounds;
  const int count = CompareConstant(search, ground, &bounds);
  if (!search->is_over) *ranges = {bounds, count};
  return ranges->count > 0;
}

int MonotoneRanges::Find(int64_t value) const {
  const MonotoneBounds *end = bounds + count;
  const auto ends_before = [](const MonotoneBounds &one, int64_t at) { return one.maybe_to < at; };
  return static_cast<int>(std::lower_bound(bounds, end, value, ends_before) - bounds);
}

MonotoneAnswer MonotoneRanges::Answer(int64_t value) const {
  MonotoneAnswer answer = MonotoneAnswer::kFails;
  for (int i = Find(value); i < count && bounds[i].maybe_from <= value; i++) {
    if (value >= bounds[i].pass_from && value <= bounds[i].pass_to) return MonotoneAnswer::kPasses;
    answer = MonotoneAnswer::kAsk;
  }
  return answer;
}

Verdict MonotoneRanges::Judge(int64_t min, int64_t max) const {
  Verdict verdict = Verdict::kNone;
  for (int i = Find(min); i < count && bounds[i].maybe_from <= max; i++) {
    if (min >= bounds[i].pass_from && max <= bounds[i].pass_to) return Verdict::kAll;
    verdict = Verdict::kSome;
  }
  return verdict;
}

}  // namespace tsext::pg
