#pragma once

// Arithmetic on vectors of numbers, by the rules of SQL: what is wider than its type is an error,
// and so is a division by zero.

#include <cstdint>

#include "tsext/selection.hpp"
#include "tsext/vector.hpp"

namespace tsext {

enum class NumberOperation : uint8_t {
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,   ///< integers: towards zero
  kNegate,   ///< of `left` alone
  kConvert,  ///< of `left`, of any number type, alone; floats are rounded to integers, ties to even
};

/// out = left operation right, NULL where an operand is. False when the operation is an error for a
/// selected row (nullptr: any) that is not NULL; then `out` is unspecified. So are always the
/// values of rows that are NULL or not selected.
///
/// type: of the result, kInt16 … kFloat64. Both operands are integers of any width when it is an
///       integer type, else of the same type. (kConvert: see there.)
/// out:  not an operand.
bool ComputeNumbers(NumberOperation operation, PhysicalType type, const Vector &left,
                    const Vector &right, const Selection *selection, Vector &out) noexcept;

}  // namespace tsext
