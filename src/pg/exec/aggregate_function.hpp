#pragma once

// What an aggregate of the catalog is to TsextAggregate.

#include <cstdint>

#include "pg/base/postgres.hpp"

extern "C" {
#include "nodes/primnodes.h"
}

namespace tsext::pg {

/// How the transition of an aggregate is done. All but kGeneric work on vectors.
enum class TransitionKind : uint8_t {
  kGeneric,         ///< the transition function is called row by row
  kCountRows,       ///< count(*): int8
  kCount,           ///< count(x): int8
  kCountDistinct,   ///< count(DISTINCT x): never partial
  kIntegerSum,      ///< sum(int2), sum(int4): int8
  kIntegerAverage,  ///< avg(int2), avg(int4): int8[2]
  kBigSum,          ///< sum(int8), avg(int8): internal, of numeric.c
  kIntegerMoments,  ///< variances of int2 and int4: internal, of numeric.c
  kRealSum,         ///< sum(float4), sum(float8): the same type
  kRealMoments,     ///< avg and variances of float4 and float8: float8[3]
  kLeast,           ///< min() of numbers and times; bool_and()
  kGreatest,        ///< max(); bool_or()
  kFirst,           ///< first(value, time), last(value, time) with times that are integers to us
  kLast,
};

/// The row of pg_aggregate and what belongs to it. Plain data.
struct AggregateFunction {
  TransitionKind kind;
  Oid transition, final, combine, serialize, deserialize;
  bool final_extra;  ///< the final function gets the arguments' types as NULLs
  Oid state_type;
};

/// Reads it from the catalogs.
AggregateFunction GetAggregateFunction(const Aggref *aggregate);

/// Whether TsextAggregate can compute an aggregate at all.
bool IsAggregateSupported(const Aggref *aggregate);

/// Raises an error unless the user may execute the aggregate and the functions it is made of.
void CheckAggregatePermissions(const Aggref *aggregate, const AggregateFunction &function);

}  // namespace tsext::pg
