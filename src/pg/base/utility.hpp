#pragma once

// Utility statements (all that are no queries) on their way through the hooks of ProcessUtility.

#include "pg/base/boundary.hpp"

extern "C" {
#include "tcop/utility.h"
}

namespace tsext::pg {

/// One call of ProcessUtility.
struct Utility {
  ProcessUtility_hook_type next;
  PlannedStmt *statement;
  const char *query;
  bool read_only_tree;
  ProcessUtilityContext context;
  ParamListInfo parameters;
  QueryEnvironment *environment;
  DestReceiver *destination;
  QueryCompletion *completion;

  Node *Parsed() const { return statement->utilityStmt; }
  /// Puts a copy in its place whose statement may be edited: the plan may be a cached one.
  Node *Edit() {
    statement = static_cast<PlannedStmt *>(copyObjectImpl(statement));
    read_only_tree = false;
    return Parsed();
  }
  /// Passes the call on to the hooks that were there before, and to the server.
  void Run() const {
    (next != nullptr ? next : standard_ProcessUtility)(statement, query, read_only_tree, context,
                                                       parameters, environment, destination,
                                                       completion);
  }
};

/// Puts `handle` in front of the hooks, from _PG_init: it gets every utility statement and calls
/// Run(), or not.
template <void (*handle)(Utility)>
void HookUtility() {
  static ProcessUtility_hook_type next;
  next = ProcessUtility_hook;
  ProcessUtility_hook = [](PlannedStmt *statement, const char *query, bool read_only_tree,
                           ProcessUtilityContext context, ParamListInfo parameters,
                           QueryEnvironment *environment, DestReceiver *destination,
                           QueryCompletion *completion) {
    Enter([&] {
      handle({next, statement, query, read_only_tree, context, parameters, environment, destination,
              completion});
    });
  };
}

}  // namespace tsext::pg
