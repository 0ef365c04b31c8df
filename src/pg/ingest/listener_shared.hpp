#pragma once

// Shared memory of the listeners: plain structs under one lock.

#include "pg/ingest/listener.hpp"

extern "C" {
#include "storage/lwlock.h"
}

namespace tsext::pg {

struct ListenerSlot {
  pid_t pid;  // 0: no worker runs
  TimestampTz started;
  char address[64];
  char state[128];
  uint64_t counters[kCounterCount];
};

inline constexpr int kRejectedLines = 128;
inline constexpr int kRejectedLineBytes = 1024;

struct RejectedLine {
  TimestampTz time;  // 0: free
  ListenerKind listener;
  RejectReason reason;
  uint16_t length;
  char peer[56];
  char message[128];
  char line[kRejectedLineBytes];
};

struct ListenerShared {
  LWLock *lock;
  ListenerSlot slots[kListenerCount];
  uint64_t next_rejected;
  RejectedLine rejected[kRejectedLines];  // a ring
};

/// nullptr: the library is not preloaded.
ListenerShared *GetListenerShared();

}  // namespace tsext::pg
