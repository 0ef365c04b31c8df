#pragma once

// column <@ range or multirange, for columns that are stored as integers: the inside of vector
// filters.

#include <cstdint>

#include "tsext/filter.hpp"

#include "pg/exec/vector_filter_state.hpp"

namespace tsext::pg {

/// Whether the operator is <@ of an element, of a type that is stored as an integer in its own
/// order, and one of the built-in ranges or multiranges of that type.
bool IsRangeOperator(Oid operator_id, const Node *element, const Node *range);

/// Fills filter->integers with `value_count` pairs (first, last), both inclusive, ascending and
/// disjoint, in the current memory context.
void SetRanges(Filter *filter, Datum value);

/// What is known of values in [min, max].
Verdict JudgeRanges(const Filter *filter, int64_t min, int64_t max);

/// Sets `out` to those rows of `wanted`, and perhaps others, that lie in a range.
void SelectRanges(const Filter *filter, const Vector &vector, const Selection &wanted,
                  Selection *out);

}  // namespace tsext::pg
