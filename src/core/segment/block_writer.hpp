#pragma once

// One column as a block: null section and stream.

#include "tsext/bytes.hpp"
#include "tsext/column.hpp"
#include "tsext/segment.hpp"
#include "tsext/status.hpp"

namespace tsext {

/// Appends the block of `column` to `out`, whose size is a multiple of 8.
///
/// footer: null_count is set. Bytes classes: distinct_estimate is filled in, kText also min and
/// max. Returns kTooLarge when a vector's values are longer than kMaxVectorBytes.
Status AppendBlock(const ColumnView &column, Level level, ColumnFooter &footer, ByteBuffer &out);

}  // namespace tsext
