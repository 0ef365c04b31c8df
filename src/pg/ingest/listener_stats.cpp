// Counters and the last rejected lines of the listeners, and the SQL functions below the views
// tsext.listener_stats, tsext.stats and tsext.rejected_lines.

#include <algorithm>
#include <cstring>

#include "pg/base/boundary.hpp"
#include "pg/ingest/listener_shared.hpp"

extern "C" {
#include "catalog/pg_authid.h"
#include "mb/pg_wchar.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
}

namespace tsext::pg {

namespace {

// More rejected lines than this a second are counted only.
constexpr int kNotedASecond = 20;

struct CounterName {
  const char *name;
  const char *meaning;
};

// In the order of Counter; the reasons of kRejected share one name.
constexpr CounterName kNames[] = {
    {"lines", "lines received, without blank ones and comments"},
    {"stored", "lines stored and committed"},
    {"rejected", "lines not stored, by reason"},
    {"bytes", "bytes received"},
    {"batches", "transactions committed"},
    {"failed_batches", "transactions rolled back"},
    {"retries", "batches taken apart to find their bad lines"},
    {"widened", "integers stored in float columns"},
    {"merged", "points joined to one before of the same series and time"},
    {"tables_created", "tables made for new measurements"},
    {"columns_added", "columns added for new tags and fields"},
    {"datagrams", "datagrams received"},
    {"datagrams_dropped", "datagrams that the kernel dropped, its receive buffer being full"},
    {"datagrams_truncated", "datagrams longer than 64 kB"},
    {"connections", "HTTP connections accepted"},
    {"requests", "HTTP requests"},
    {"requests_refused", "HTTP requests without a valid token or right"},
    {"requests_too_large", "HTTP requests answered 413"},
    {"requests_overloaded", "HTTP requests answered 503"},
    {"requests_late", "HTTP connections closed at a time limit"},
    {"retention_policies_ignored", "HTTP requests that named a retention policy"},
    {"queries", "queries over HTTP"},
    {"query_errors", "queries over HTTP that failed"},
};
constexpr int kNameCount = sizeof kNames / sizeof kNames[0];
static_assert(kNameCount == kCounterCount - kRejectReasonCount + 1);

const CounterName &NameOf(int counter) {
  if (counter < kRejected) return kNames[counter];
  if (counter < kBytes) return kNames[kRejected];
  return kNames[counter - kRejectReasonCount + 1];
}

int64_t noted_second = 0;
int noted_lines = 0;

bool SecondHasRoom() {
  const int64_t second = GetCurrentTimestamp() / USECS_PER_SEC;
  if (second != noted_second) {
    noted_second = second;
    noted_lines = 0;
  }
  return noted_lines < kNotedASecond;
}

/// Copies at most `size` - 1 bytes, cut between two characters.
size_t CopyClipped(const char *from, size_t length, char *to, size_t size) {
  const size_t copied =
      length < size ? length
                    : static_cast<size_t>(pg_encoding_mbcliplen(
                          PG_UTF8, from, static_cast<int>(length), static_cast<int>(size) - 1));
  memcpy(to, from, copied);
  to[copied] = '\0';
  return copied;
}

ReturnSetInfo *StartResult(FunctionCallInfo fcinfo) {
  InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
  return reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo);
}

void PutRow(ReturnSetInfo *result, Datum *values, bool *nulls) {
  tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/// Any bytes as text that a client can read: what is not UTF-8 is shown as \xHH.
text *ReadableLine(const char *bytes, size_t length) {
  StringInfoData out;
  initStringInfo(&out);
  for (size_t i = 0; i < length;) {
    const auto *at = reinterpret_cast<const unsigned char *>(bytes + i);
    const int width = pg_utf_mblen(at);
    if (*at >= 0x20 && *at != 0x7f && i + width <= length && pg_utf8_islegal(at, width)) {
      appendBinaryStringInfo(&out, bytes + i, width);
      i += width;
    } else {
      appendStringInfo(&out, "\\x%02x", *at);
      i++;
    }
  }
  char *converted = pg_any_to_server(out.data, out.len, PG_UTF8);
  return cstring_to_text(converted);
}

}  // namespace

void FlushCounters(Counters *counters) {
  ListenerShared *shared = GetListenerShared();
  ListenerSlot *slot = &shared->slots[static_cast<int>(MyListener())];
  LWLockAcquire(shared->lock, LW_EXCLUSIVE);
  for (int i = 0; i < kCounterCount; i++) slot->counters[i] += counters->values[i];
  LWLockRelease(shared->lock);
  *counters = Counters();
}

bool NotesRejectedLines() {
  return SecondHasRoom();
}

void NoteRejectedLine(const char *peer, RejectReason reason, const char *message,
                      std::string_view line) {
  if (!SecondHasRoom()) return;
  noted_lines++;
  ListenerShared *shared = GetListenerShared();
  LWLockAcquire(shared->lock, LW_EXCLUSIVE);
  RejectedLine *entry = &shared->rejected[shared->next_rejected++ % kRejectedLines];
  entry->time = GetCurrentTimestamp();
  entry->listener = MyListener();
  entry->reason = reason;
  strlcpy(entry->peer, peer, sizeof entry->peer);
  CopyClipped(message, strlen(message), entry->message, sizeof entry->message);
  entry->length = static_cast<uint16_t>(std::min<size_t>(line.size(), kRejectedLineBytes));
  memcpy(entry->line, line.data(), entry->length);
  LWLockRelease(shared->lock);
}

}  // namespace tsext::pg

/// listener, metric, reason, value, meaning: one row a counter.
TSEXT_FUNCTION(tsext_listener_counters) {
  using namespace tsext::pg;  // NOLINT(google-build-using-namespace)
  ReturnSetInfo *result = StartResult(fcinfo);
  ListenerShared *shared = GetListenerShared();
  if (shared == nullptr) return Datum(0);
  uint64_t counters[kListenerCount][kCounterCount];
  LWLockAcquire(shared->lock, LW_SHARED);
  for (int i = 0; i < kListenerCount; i++)
    memcpy(counters[i], shared->slots[i].counters, sizeof counters[i]);
  LWLockRelease(shared->lock);
  for (int i = 0; i < kListenerCount; i++) {
    for (int counter = 0; counter < kCounterCount; counter++) {
      const bool is_rejected = counter >= kRejected && counter < kBytes;
      Datum values[5] = {
          CStringGetTextDatum(ListenerName(static_cast<ListenerKind>(i))),
          CStringGetTextDatum(NameOf(counter).name),
          CStringGetTextDatum(
              is_rejected ? RejectReasonName(static_cast<RejectReason>(counter - kRejected)) : ""),
          Int64GetDatum(static_cast<int64_t>(counters[i][counter])),
          CStringGetTextDatum(NameOf(counter).meaning)};
      bool nulls[5] = {false, false, !is_rejected, false, false};
      PutRow(result, values, nulls);
    }
  }
  return Datum(0);
}

/// listener, address, pid, started, state: one row a listener.
TSEXT_FUNCTION(tsext_listener_states) {
  using namespace tsext::pg;  // NOLINT(google-build-using-namespace)
  ReturnSetInfo *result = StartResult(fcinfo);
  ListenerShared *shared = GetListenerShared();
  if (shared == nullptr) return Datum(0);
  for (int i = 0; i < kListenerCount; i++) {
    char address[sizeof shared->slots[i].address], state[sizeof shared->slots[i].state];
    LWLockAcquire(shared->lock, LW_SHARED);
    const pid_t pid = shared->slots[i].pid;
    const TimestampTz started = shared->slots[i].started;
    memcpy(address, shared->slots[i].address, sizeof address);
    memcpy(state, shared->slots[i].state, sizeof state);
    LWLockRelease(shared->lock);
    Datum values[5] = {CStringGetTextDatum(ListenerName(static_cast<ListenerKind>(i))),
                       CStringGetTextDatum(address), Int32GetDatum(pid),
                       TimestampTzGetDatum(started),
                       CStringGetTextDatum(state[0] != '\0' ? state : "off")};
    bool nulls[5] = {false, address[0] == '\0', pid == 0, pid == 0, false};
    PutRow(result, values, nulls);
  }
  return Datum(0);
}

/// time, listener, peer, reason, message, line: the newest first. Lines are other people's data.
TSEXT_FUNCTION(tsext_listener_rejected_lines) {
  using namespace tsext::pg;  // NOLINT(google-build-using-namespace)
  ReturnSetInfo *result = StartResult(fcinfo);
  ListenerShared *shared = GetListenerShared();
  if (shared == nullptr || !has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS)) return Datum(0);
  auto *entries = static_cast<RejectedLine *>(palloc(sizeof shared->rejected));
  LWLockAcquire(shared->lock, LW_SHARED);
  memcpy(static_cast<void *>(entries), shared->rejected, sizeof shared->rejected);
  const uint64_t next = shared->next_rejected;
  LWLockRelease(shared->lock);
  for (uint64_t i = 0; i < std::min<uint64_t>(next, kRejectedLines); i++) {
    const RejectedLine *entry = &entries[(next - 1 - i) % kRejectedLines];
    Datum values[6] = {TimestampTzGetDatum(entry->time),
                       CStringGetTextDatum(ListenerName(entry->listener)),
                       CStringGetTextDatum(entry->peer),
                       CStringGetTextDatum(RejectReasonName(entry->reason)),
                       PointerGetDatum(ReadableLine(entry->message, strlen(entry->message))),
                       PointerGetDatum(ReadableLine(entry->line, entry->length))};
    bool nulls[6] = {};
    PutRow(result, values, nulls);
  }
  return Datum(0);
}
