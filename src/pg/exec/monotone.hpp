#pragma once

// Expressions over one column that rise with it: equal results at two values mean the same result
// everywhere between. time_bucket(), date_trunc(), floor(extract(epoch from t) / 60) * 60 and the
// like.

#include <cstdint>

#include "pg/base/postgres.hpp"

extern "C" {
#include "access/attnum.h"
#include "nodes/pg_list.h"
#include "nodes/primnodes.h"
#include "pgtime.h"
}

namespace tsext::pg {

/// What is known of such an expression.
struct Monotone {
  AttrNumber column;
  Oid column_type;  ///< base type: smallint, integer, bigint, date, timestamp, timestamptz
  /// Zones whose clocks the expression reads (pg_tz *): it rises between their changes only.
  List *zones;
  /// Buckets of one width throughout: each start is a multiple of `width` away from any other. 0:
  /// not known to be.
  int64_t width;
  int64_t least;  ///< of values for which `width` holds
  /// About how far apart results begin, in the column's units, for estimates; 0: not known.
  double typical_width;
  /// Whether it may be an error for values that are no extremes of their type.
  bool may_fail;
};

/// Whether `expression` is of that kind. It has columns of one table only.
bool IsMonotone(Expr *expression, Monotone *result);

/// Whether `expression` is just such a column.
bool IsMonotoneColumn(Expr *expression, Monotone *result);

/// Whether it is a column of range table entry `rel`, or rises with it.
bool RisesWith(Node *node, Index rel, AttrNumber attribute);

/// Between changes of the zones: [from, to] around `time`, both inclusive. Remembers the last
/// answer.
struct ZoneEra {
  List *zones;
  int64_t from, to;
};
/// from > to at first.
void FindZoneEra(ZoneEra *era, int64_t time);

}  // namespace tsext::pg
