#include "pg/exec/vector_filter_ranges.hpp"

#include "tsext/slice.hpp"

extern "C" {
#include "catalog/pg_type_d.h"
#include "nodes/nodeFuncs.h"
#include "utils/date.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/multirangetypes.h"
#include "utils/rangetypes.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"
}

namespace tsext::pg {

namespace {

// Of so few ranges that a vector's values may meet each is compared with the whole vector; of more
// the row's is looked up.
constexpr int kFewRanges = 8;

/// The element type of a range or multirange that vectors know; InvalidOid: not one of them.
Oid ElementType(Oid type) {
  switch (type) {
    case INT4RANGEOID:
    case INT4MULTIRANGEOID:
      return INT4OID;
    case INT8RANGEOID:
    case INT8MULTIRANGEOID:
      return INT8OID;
    case DATERANGEOID:
    case DATEMULTIRANGEOID:
      return DATEOID;
    case TSRANGEOID:
    case TSMULTIRANGEOID:
      return TIMESTAMPOID;
    case TSTZRANGEOID:
    case TSTZMULTIRANGEOID:
      return TIMESTAMPTZOID;
    default:
      return InvalidOid;
  }
}

int64_t ElementOf(Datum value, Oid element_type) {
  return element_type == INT4OID || element_type == DATEOID ? int64_t{DatumGetInt32(value)}
                                                            : DatumGetInt64(value);
}

/// Appends a range that is not empty.
void AddRange(Filter *filter, const RangeBound &lower, const RangeBound &upper, Oid element_type) {
  int64_t first = INT64_MIN;
  int64_t last = INT64_MAX;
  if (!lower.infinite) {
    first = ElementOf(lower.val, element_type);
    if (!lower.inclusive && __builtin_add_overflow(first, 1, &first)) return;
  }
  if (!upper.infinite) {
    last = ElementOf(upper.val, element_type);
    if (!upper.inclusive && __builtin_sub_overflow(last, 1, &last)) return;
  }
  if (first > last) return;
  filter->integers[2 * filter->value_count] = first;
  filter->integers[2 * filter->value_count + 1] = last;
  filter->value_count++;
}

/// The number of the first range that ends at `value` or behind it.
int FindRange(const Filter *filter, int64_t value) {
  int begin = 0;
  int end = filter->value_count;
  while (begin < end) {
    const int middle = (begin + end) / 2;
    if (filter->integers[2 * middle + 1] < value) {
      begin = middle + 1;
    } else {
      end = middle;
    }
  }
  return begin;
}

}  // namespace

bool IsRangeOperator(Oid operator_id, const Node *element, const Node *range) {
  const Oid function = get_opcode(operator_id);
  if (function != F_ELEM_CONTAINED_BY_RANGE && function != F_ELEM_CONTAINED_BY_MULTIRANGE)
    return false;
  const Oid element_type = ElementType(exprType(range));
  return OidIsValid(element_type) && exprType(element) == element_type;
}

void SetRanges(Filter *filter, Datum value) {
  const Oid element_type = ElementType(filter->constant_type);
  RangeBound lower;
  RangeBound upper;
  filter->value_count = 0;
  if (!type_is_multirange(filter->constant_type)) {
    bool is_empty;
    filter->integers = static_cast<int64_t *>(palloc(sizeof(int64_t) * 2));
    range_deserialize(lookup_type_cache(filter->constant_type, TYPECACHE_RANGE_INFO),
                      DatumGetRangeTypeP(value), &lower, &upper, &is_empty);
    if (!is_empty) AddRange(filter, lower, upper, element_type);
  } else {
    const MultirangeType *ranges = DatumGetMultirangeTypeP(value);
    TypeCacheEntry *range_type =
        lookup_type_cache(filter->constant_type, TYPECACHE_MULTIRANGE_INFO)->rngtype;
    filter->integers =
        static_cast<int64_t *>(palloc(sizeof(int64_t) * 2 * Max(ranges->rangeCount, 1)));
    for (uint32 i = 0; i < ranges->rangeCount; i++) {
      multirange_get_bounds(range_type, ranges, i, &lower, &upper);
      AddRange(filter, lower, upper, element_type);
    }
  }
  if (filter->value_count == 0) filter->now = FilterKind::kNever;
}

Verdict JudgeRanges(const Filter *filter, int64_t min, int64_t max) {
  const int at = FindRange(filter, min);
  if (at == filter->value_count || filter->integers[2 * at] > max) return Verdict::kNone;
  return filter->integers[2 * at] <= min && filter->integers[2 * at + 1] >= max ? Verdict::kAll
                                                                                : Verdict::kSome;
}

void SelectRanges(const Filter *filter, const Vector &vector, const Selection &wanted,
                  Selection *out) {
  out->Clear();
  int from = 0;
  int until = filter->value_count;
  if (until > kFewRanges) {
    const IntegerSummary values =
        SummarizeIntegers(vector, {0, vector.count, nullptr}, kSummaryMin | kSummaryMax);
    if (values.count == 0) return;
    from = FindRange(filter, values.min);
    until = FindRange(filter, values.max);
    if (until < filter->value_count) until++;
  }
  if (until - from <= kFewRanges) {
    Selection inside;
    for (int i = from; i < until; i++) {
      FilterIntegerRange(vector, filter->integers[2 * i], filter->integers[2 * i + 1], inside);
      out->Or(inside);
    }
    return;
  }
  wanted.ForEach([&](uint32_t row) {
    if (vector.IsNull(row)) return;
    const int64_t value = vector.integers[row];
    const int at = FindRange(filter, value);
    if (at < filter->value_count && filter->integers[2 * at] <= value) out->Select(row);
  });
}

}  // namespace tsext::pg
