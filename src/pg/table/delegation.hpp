#pragma once

// Calls of heap's callbacks under our name. Hot rows are rows of an ordinary heap; the callback of
// heap's access method that does the work is called directly. rd_tableam is never swapped: an error
// or a relcache invalidation inside the call would undo or keep the swap.

#include <type_traits>

#include "pg/base/postgres.hpp"

namespace tsext::pg {

/// Heap's callbacks.
inline const TableAmRoutine *Heap() {
  return GetHeapamTableAmRoutine();
}

/// True while heap's code runs under Delegate() for this relation: the scans it begins must be
/// heap's own, because it casts what table_beginscan gives.
bool IsDelegated(Relation relation);

/// Marks the begin and the end of a delegated call; what an error leaves behind is taken back at
/// the abort of its (sub)transaction.
int BeginDelegation(Relation relation);
void EndDelegation(int depth);

/// Runs a piece of heap's code that begins scans of `relation` itself.
template <typename F>
auto Delegate(Relation relation, F &&call) -> decltype(call()) {
  const int depth = BeginDelegation(relation);
  if constexpr (std::is_void_v<decltype(call())>) {
    call();
    EndDelegation(depth);
  } else {
    auto result = call();
    EndDelegation(depth);
    return result;
  }
}

/// Registers the abort callbacks. Called once from _PG_init.
void InitDelegation();

}  // namespace tsext::pg
