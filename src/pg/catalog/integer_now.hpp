#pragma once

// What "now" is for a table whose time column is an integer: a function its owner has named by
// set_integer_now_func(). Kept in tsext.integer_now by object, so that it follows renames; a dump
// writes both by name.

#include <cstdint>

#include "pg/base/postgres.hpp"

namespace tsext::pg {

/// The function of a table as it was named, InvalidOid: none. It may have been dropped since.
Oid IntegerNowFunction(Oid relation_id);

/// Now, in the unit of the table's time column. The function runs with the rights of the table's
/// owner, so nobody needs to trust that. Needs an active snapshot. Errors: 55000 none was named or
/// it returned NULL, 42883 it was dropped, 42501 the owner may not execute it.
int64_t IntegerNow(Relation relation);

/// Names the function, after all checks but that of the table's ownership; replaces another.
void SetIntegerNow(Relation relation, Oid function);

}  // namespace tsext::pg
