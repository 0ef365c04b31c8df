#include "pg/table/delegation.hpp"

extern "C" {
#include "access/xact.h"
}

namespace tsext::pg {

namespace {

// A delegated call that is on the stack.
struct Frame {
  Oid relation;
  SubTransactionId subtransaction;
};

// Calls nest only when a function in an index expression rewrites another table.
constexpr int kMaxDepth = 64;
Frame frames[kMaxDepth];
int frame_count = 0;

void AtTransactionEnd(XactEvent event, void *) {
  if (event == XACT_EVENT_ABORT || event == XACT_EVENT_PARALLEL_ABORT) frame_count = 0;
}

// Ids of subtransactions grow, so every call made inside the aborted one has at least its id.
void AtSubtransactionEnd(SubXactEvent event, SubTransactionId subtransaction, SubTransactionId,
                         void *) {
  if (event != SUBXACT_EVENT_ABORT_SUB) return;
  while (frame_count > 0 && frames[frame_count - 1].subtransaction >= subtransaction) frame_count--;
}

}  // namespace

bool IsDelegated(Relation relation) {
  for (int i = 0; i < frame_count; i++)
    if (frames[i].relation == RelationGetRelid(relation)) return true;
  return false;
}

int BeginDelegation(Relation relation) {
  if (frame_count >= kMaxDepth) elog(ERROR, "too many nested rewrites of tables");
  frames[frame_count] = {RelationGetRelid(relation), GetCurrentSubTransactionId()};
  return frame_count++;
}

void EndDelegation(int depth) {
  frame_count = depth;
}

void InitDelegation() {
  RegisterXactCallback(AtTransactionEnd, nullptr);
  RegisterSubXactCallback(AtSubtransactionEnd, nullptr);
}

}  // namespace tsext::pg
