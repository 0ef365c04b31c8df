#pragma once

// A compiled filter, for vector_filter_build.cpp (clauses to filters), vector_filter.cpp (filters
// at work) and vector_expression.cpp (which clauses can be one).

#include <cstdint>
#include <cstring>

#include "tsext/filter.hpp"

#include "pg/base/datum.hpp"
#include "pg/exec/monotone_bounds.hpp"
#include "pg/exec/vector_filter.hpp"

extern "C" {
#include "nodes/bitmapset.h"
}

namespace tsext::pg {

/// A filter is true or not for a row: SQL's NULL and false are one here. NOT is pushed down to the
/// leaves when a filter is built, where it is exact.
enum class FilterKind : uint8_t {
  kAnd,
  kOr,
  kComplement,  ///< true where its only child is not: IS NOT TRUE
  kInteger,     ///< column comparison constant
  kReal,
  kBytes,
  kIntegersIn,  ///< column [NOT] IN constants
  kRealsIn,
  kBytesIn,
  kNull,
  kNotNull,
  kExpression,  ///< any expression over one column, evaluated once a dictionary value
  kMonotone,    ///< MonotoneComparison, of an expression that rises with the column
  kAlways,
  kNever
};

/// How a constant becomes a value of the column's type.
enum class ConstantConversion : uint8_t {
  kNone,
  kDateToTimestamp,
  kDateToTimestamptz,
  kTimestampToTimestamptz
};

struct Filter {
  FilterKind kind;
  /// `kind` with the constants of this run: comparison with NULL is never true.
  FilterKind now;
  bool is_negated;    // kIntegersIn, kRealsIn, kBytesIn
  bool is_null_safe;  // IS NOT DISTINCT FROM: NULL equals NULL
  AttrNumber attribute;
  DatumClass type;  // of the column
  Comparison comparison;
  Comparison comparison_now;
  int cost;  // filters of less cost are tried first

  Filter **children;
  int child_count;

  // The constant: an expression without columns.
  Expr *constant;
  ExprState *constant_state;
  Oid constant_type;  // base type of it, or of its elements
  ConstantConversion conversion;
  int64_t integer;
  double real;
  ByteView bytes;
  int64_t *integers;  // ascending, no duplicates
  double *reals;
  ByteView *byte_values;
  int value_count;

  // kExpression; kMonotone, where the bounds do not decide.
  Expr *expression;
  ExprState *predicate;

  // kMonotone.
  MonotoneComparison *monotone;
  MonotoneSearch *search;
  MonotoneRanges ranges;

  Verdict segment_verdict, vector_verdict;
  uint32_t all_begin, all_end;  // vectors of the segment whose rows pass, all of them
  // What is known of the values of the current segment's dictionary.
  uint64_t passes_segment;  // segment_count at which `passes` was made
  uint8_t *passes;
  size_t passes_capacity;
  uint32_t unknown_count;  // kExpression: values not looked at yet
  uint8_t null_passes;     // kExpression
};

/// What is in Filter.passes.
enum : uint8_t { kFails = 0, kPasses = 1, kUnknown = 2 };

struct VectorFilters {
  MemoryContext context;
  MemoryContext constants;  // their values
  PlanState *parent;
  ExprContext *expression_context;
  TupleTableSlot *slot;  // kExpression, kMonotone: holds one column of one row
  Filter **filters;      // implicit AND, in the order they are tried
  int count;
  Bitmapset *attributes;
  uint64_t segment_count;  // of segments switched to
  AttrNumber time_attribute;
  bool is_cold;  // verdicts and dictionaries of a segment count
};

/// What a clause is built for.
struct FilterBuilder {
  Index rel;
  TupleDesc descriptor;
  const char *reason;    ///< why the last clause could not be built
  bool uses_expression;  ///< one was built whose functions see values of rows
  bool may_fail;         ///< one was built that may be an error for ordinary values
};

/// Of filters whose functions see values of rows: they come after all others, in their order.
inline constexpr int kExpressionCost = 100;

/// Builds a clause; nullptr and builder->reason when vectors cannot answer it.
Filter *BuildFilter(FilterBuilder *builder, Node *clause, bool is_negated);

/// The order of kBytes: a prefix comes first.
inline int CompareBytes(ByteView a, ByteView b) {
  const uint32_t common = Min(a.size, b.size);
  const int order = common == 0 ? 0 : memcmp(a.data, b.data, common);
  if (order != 0) return order;
  return static_cast<int>(a.size > b.size) - static_cast<int>(a.size < b.size);
}

/// Calls visit(leaf) for every leaf of a filter.
template <typename Visit>
void ForEachLeaf(Filter *filter, const Visit &visit) {
  if (filter->child_count == 0) return visit(filter);
  for (int i = 0; i < filter->child_count; i++) ForEachLeaf(filter->children[i], visit);
}

}  // namespace tsext::pg
